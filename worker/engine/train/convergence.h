// How a run's evaluations went, in a few numbers.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_CONVERGENCE_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_CONVERGENCE_H_

#include <google/protobuf/repeated_field.h>

#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/trainer.pb.h"

namespace qsweep::engine {

// The formulas stand beside the fields of v1.EpochConvergence. `history`: every epoch's, in order.
v1::EpochConvergence ConvergenceOf(
    const google::protobuf::RepeatedPtrField<v1::EpochFacts>& history);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_CONVERGENCE_H_
