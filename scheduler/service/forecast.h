// What submitting a sweep would mean: which cells are known, what they need, how long they take and
// where they fit, from what runs of their kind have measured here.
#ifndef QSWEEP_SCHEDULER_SERVICE_FORECAST_H_
#define QSWEEP_SCHEDULER_SERVICE_FORECAST_H_

#include <vector>

#include "qsweep/v1/sweep.pb.h"
#include "scheduler/core/state.h"
#include "scheduler/service/submission.h"

namespace qsweep {

// Costs cells x connected workers. The time for all is the work divided by the slots of the workers
// that fit, and at least the longest cell's; 0 if a cell's time is unknown.
v1::PlanSweepReply Forecast(const core::State& state, const std::vector<SubmittedCell>& cells);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_FORECAST_H_
