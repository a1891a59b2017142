#include "worker/engine/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace qsweep::engine {

double LearningRate(const v1::Training& training, int64_t step, int64_t total_steps) {
  const double full = training.learning_rate();
  const int64_t warmup = training.warmup_steps();
  if (step < warmup) return full * static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (training.lr_scheduler() == "constant") return full;
  const double done = static_cast<double>(step - warmup) /
                      static_cast<double>(std::max<int64_t>(total_steps - warmup, 1));
  if (training.lr_scheduler() == "linear") return full * (1 - done);
  return full * (1 + std::cos(M_PI * done)) / 2;
}

}  // namespace qsweep::engine
