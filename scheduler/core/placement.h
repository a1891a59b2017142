// Which run goes where, and why a run does not.
#ifndef QSWEEP_SCHEDULER_CORE_PLACEMENT_H_
#define QSWEEP_SCHEDULER_CORE_PLACEMENT_H_

#include <string>

#include "scheduler/core/effects.h"
#include "scheduler/core/state.h"

namespace qsweep::core {

// Gives queued runs to workers with room: higher priority first, then in the order of ids; of the
// workers that fit, the emptiest. A run that only waits for memory keeps runs of lower priority off
// the workers it could have. Costs (lines of the queue + runs placed) x workers.
void Place(State& state, Time now, Effects& effects);

// One sentence for a pending run: what it waits for.
std::string WaitingReason(const State& state, Time now, const Run& run);

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_PLACEMENT_H_
