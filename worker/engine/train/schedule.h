// The learning rate of every step.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_SCHEDULE_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_SCHEDULE_H_

#include <cstdint>

#include "qsweep/v1/spec.pb.h"

namespace qsweep::engine {

// For the optimizer step `step` (0-based) of `total_steps`. Rises linearly to the full rate in
// warmup_steps, then, with p the part of the remaining steps that is done: constant 1,
// linear 1 - p, cosine (1 + cos(pi p)) / 2 of it (arXiv 1608.03983, one cycle).
double LearningRate(const v1::Training& training, int64_t step, int64_t total_steps);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_SCHEDULE_H_
