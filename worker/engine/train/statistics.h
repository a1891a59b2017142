// Running mean, deviation and range over a message that a checkpoint can keep.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_STATISTICS_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_STATISTICS_H_

#include "qsweep/v1/trainer.pb.h"

namespace qsweep::engine {

// One more value. Welford's update (Technometrics 4, 1962): no cancellation.
void Add(double value, v1::RunningStatistics* statistics);

// All values of `more` too (Chan, Golub, LeVeque, 1979).
void Merge(const v1::RunningStatistics& more, v1::RunningStatistics* statistics);

// Of the sample (n - 1); 0 for fewer than two values.
double StandardDeviation(const v1::RunningStatistics& statistics);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_STATISTICS_H_
