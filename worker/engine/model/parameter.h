// What trains, and the gradients a backward pass makes of it, in one order.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_PARAMETER_H_
#define QSWEEP_WORKER_ENGINE_MODEL_PARAMETER_H_

#include <ATen/ATen.h>

#include <utility>
#include <vector>

namespace qsweep::engine {

// An fp32 tensor of the model; `index` is its place among the trainable ones, -1 while it is
// frozen.
struct Parameter {
  at::Tensor value;
  int index = -1;
  bool trains() const { return index >= 0; }
};

// Sums of gradients, one per trainable parameter and of its shape: backward passes add to them.
class Gradients {
 public:
  explicit Gradients(std::vector<at::Tensor> sums) : sums_(std::move(sums)) {}
  const at::Tensor& Of(const Parameter& parameter) const { return sums_[parameter.index]; }
  const std::vector<at::Tensor>& sums() const { return sums_; }

 private:
  std::vector<at::Tensor> sums_;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_PARAMETER_H_
