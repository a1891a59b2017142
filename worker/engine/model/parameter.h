// What trains: the leaves whose gradients a backward pass makes, in the order of their list.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_PARAMETER_H_
#define QSWEEP_WORKER_ENGINE_MODEL_PARAMETER_H_

#include <torch/torch.h>

#include <vector>

#include "worker/engine/base/allocator.h"

namespace qsweep::engine {

// An fp32 tensor of the model; `index` is its place among the trainable ones, -1 while it is
// frozen.
struct Parameter {
  at::Tensor value;
  int index = -1;
  bool trains() const { return index >= 0; }
};

// One gradient per trainable parameter; undefined where none was made.
class Gradients {
 public:
  explicit Gradients(size_t parameters) : values_(parameters) {}
  // Memory for the gradient, of its parameter's shape, charged to Account::kGradients.
  at::Tensor Make(const Parameter& parameter) {
    AccountScope scope(Account::kGradients);
    return values_[parameter.index] = at::empty_like(parameter.value);
  }
  std::vector<at::Tensor> Release() { return std::move(values_); }

 private:
  std::vector<at::Tensor> values_;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_PARAMETER_H_
