// Stored rows and the core's knowledge together, as messages for people. Read only.
#ifndef QSWEEP_SCHEDULER_VIEWS_H_
#define QSWEEP_SCHEDULER_VIEWS_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "qsweep/v1/sweep.pb.h"
#include "scheduler/core/state.h"
#include "storage/database.h"
#include "storage/runs.h"
#include "storage/sweeps.h"

namespace qsweep {

// "12", or the name of a sweep: the newest one of that name. NotFound says so.
absl::StatusOr<SweepId> ResolveSweep(storage::Database& database, const std::string& sweep);
// The worker of this id, else the one of this name; of several the only one that is connected.
absl::StatusOr<WorkerId> ResolveWorker(const core::State& state, const std::string& worker);
// "12" or "SWEEP/NAME".
absl::StatusOr<RunId> ResolveRun(storage::Database& database, const std::string& run);

// NotFound says so.
absl::StatusOr<storage::SweepRow> ExistingSweep(storage::Database& database, SweepId id);
absl::StatusOr<storage::RunRow> ExistingRun(storage::Database& database, RunId id);
// The run whose result, metrics and logs count for this one: itself, unless it is reused.
RunId ResultOwner(const storage::RunRow& row);

v1::Sweep SweepView(const core::State& state, core::Time now, const storage::SweepRow& row);
absl::StatusOr<v1::Run> RunView(storage::Database& database, const core::State& state,
                                core::Time now, const storage::RunRow& row);
absl::StatusOr<v1::RunDetail> RunDetailView(storage::Database& database, const core::State& state,
                                            core::Time now, RunId run);
v1::WorkerStatus WorkerView(const core::State& state, const core::Worker& worker, core::Time now,
                            int64_t unix_us);

// The sweep and every run that is not pending; the sweep and the runs given.
absl::StatusOr<v1::SweepUpdate> FirstUpdate(storage::Database& database, const core::State& state,
                                            core::Time now, SweepId sweep);
absl::StatusOr<v1::SweepUpdate> NextUpdate(storage::Database& database, const core::State& state,
                                           core::Time now, SweepId sweep,
                                           const std::set<RunId>& changed);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_VIEWS_H_
