// Which run goes where.
#ifndef QSWEEP_SCHEDULER_CORE_PLACEMENT_H_
#define QSWEEP_SCHEDULER_CORE_PLACEMENT_H_

#include "scheduler/core/effects.h"
#include "scheduler/core/state.h"

namespace qsweep::core {

// Gives queued runs to workers with room: higher priority first; among sweeps of one priority the
// one with the fewest running; within a sweep in the order of ids. Of the workers that fit, the
// emptiest. A run that only waits for memory keeps runs of lower priority off the workers it could
// have. A run that finds no room has runs of lower priority stopped for it, after a checkpoint.
// Costs lines of the queue x workers + runs placed x log(workers).
void Place(State& state, Time now, Effects& effects);

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_PLACEMENT_H_
