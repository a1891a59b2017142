// Why a pending run does not run.
#ifndef QSWEEP_SCHEDULER_CORE_WAITING_H_
#define QSWEEP_SCHEDULER_CORE_WAITING_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/core/state.h"

namespace qsweep::core {

// One sentence: what it waits for.
std::string WaitingReason(const State& state, Time now, const Run& run);

// Worker by worker (its name): why the pending run is not there.
std::vector<std::pair<std::string, std::string>> WorkerVerdicts(const State& state, Time now,
                                                                const Run& run);
// Why this worker could not run it though it were idle; empty if it could.
std::string WhyUnfit(const Worker& worker, const Needs& needs);
// What is to be said about a running run: that it was told to stop, or is slow; about one that has
// succeeded: that a file of it is lost. Empty if nothing.
std::string RunRemark(const State& state, Time now, const Run& run);
// What is to be said about the worker itself; empty if nothing.
std::string WorkerRemark(const State& state, Time now, const Worker& worker);

// The sweep's queued runs that no connected worker could ever take; 0 while none is connected.
int32_t Unplaceable(const State& state, SweepId sweep);
// Why the first of the sweep's pending runs waits; empty if none does.
std::string SweepWaits(const State& state, Time now, SweepId sweep);

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_WAITING_H_
