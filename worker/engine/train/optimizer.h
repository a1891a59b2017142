// AdamW (arXiv 1711.05101) as torch.optim.AdamW computes it: decoupled decay, bias correction,
// betas 0.9 and 0.999, eps 1e-8, all in fp32.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_OPTIMIZER_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_OPTIMIZER_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "worker/engine/model/vit.h"

namespace qsweep::engine {

// Values, gradients and moments of the same parameters.
class AdamW {
 public:
  // Charges gradients and moments to their accounts.
  AdamW(const std::vector<TrainableParameter>& parameters, double weight_decay);

  void ZeroGradients();
  // Update number `step` (1-based), with gradients multiplied by `gradient_scale`.
  void Update(int64_t step, double learning_rate, double gradient_scale);

  struct Slot {
    TrainableParameter parameter;
    at::Tensor gradient, first_moment, second_moment;
  };
  const std::vector<Slot>& slots() const { return slots_; }

 private:
  std::vector<Slot> slots_;
  double weight_decay_;
};

// The factor that brings a gradient of this global norm to at most `max_norm` (0: any), as
// torch.nn.utils.clip_grad_norm_.
double ClipFactor(double norm, double max_norm);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_OPTIMIZER_H_
