// Gradient norms: how large, per layer group and over time, and whether they can be right.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_GRADIENT_STATS_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_GRADIENT_STATS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/train/optimizer.h"

namespace qsweep::engine {

// Squared L2 norm of each slot's gradient; the same for any number of threads.
std::vector<double> SquaredGradientNorms(const std::vector<AdamW::Slot>& slots);

double GlobalNorm(const std::vector<double>& squared_norms);

// Before update `step`. InvalidArgument for a gradient that shows that the run cannot be right: one
// that is not finite, or, while the model learns at all, an adapter that has had none in its first
// ten steps, one of which dropout may take. lora_B has a gradient from the first step on, lora_A as
// soon as lora_B has moved from zero.
absl::Status CheckGradients(const std::vector<AdamW::Slot>& slots,
                            const std::vector<double>& squared_norms, int64_t step);

// What is told of the norms in a window of steps, and in the run.
class GradientStats {
 public:
  // `state` is kept up to date and must outlive this; empty, or as a checkpoint kept it.
  GradientStats(const std::vector<AdamW::Slot>& slots, v1::GradientState* state);

  void AddStep(const std::vector<double>& squared_norms);

  // Appends the groups' points in the window to `metrics` and begins the next. Returns what is
  // wrong with the window, empty if nothing: "vanishing" when the mean global norm is below 1e-7,
  // where AdamW's eps of 1e-8 begins to outweigh it; "exploding" when its largest is over ten times
  // the mean of the run before it.
  std::string EndWindow(v1::Metrics* metrics);

  v1::GradientSummary Summary() const;

 private:
  std::vector<int> group_of_slot_;
  v1::GradientState* state_;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_GRADIENT_STATS_H_
