#include "scheduler/recovery.h"

#include "common/log.h"
#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "storage/artifacts.h"
#include "storage/attempts.h"
#include "storage/runs.h"
#include "storage/sweeps.h"
#include "storage/workers.h"

namespace qsweep {
namespace {

absl::Status RestoreWorkers(storage::Database& database, const Clock& clock, core::State& state) {
  ASSIGN_OR_RETURN(const std::vector<storage::WorkerRow> workers, storage::ListWorkers(database));
  const core::Time now = clock.Monotonic();
  for (const storage::WorkerRow& worker : workers) {
    core::RestoreWorker(state, now, worker.info,
                        now - absl::Microseconds(clock.UnixMicros() - worker.last_seen_us));
  }
  return absl::OkStatus();
}

absl::Status RestoreSweeps(storage::Database& database, core::State& state) {
  ASSIGN_OR_RETURN(const std::vector<storage::SweepRow> sweeps,
                   storage::ListSweeps(database, SweepId(INT64_MAX), INT64_MAX));
  for (const storage::SweepRow& sweep : sweeps) {
    core::RestoreSweep(state, sweep.id, sweep.priority);
  }
  return absl::OkStatus();
}

core::Run RunOf(const storage::RunRow& row, const storage::SpecRow& spec) {
  core::Run run;
  run.id = row.id;
  run.sweep = row.sweep;
  run.key = row.key;
  run.weights_key = spec.weights_key;
  run.needs = {spec.model, spec.dataset, spec.memory_bytes};
  run.state = row.state;
  run.attempt = row.attempt;
  run.resource_failures = row.resource_failures;
  run.machine_faults = row.machine_faults;
  run.step = row.step;
  run.total_steps = row.total_steps;
  return run;
}

absl::Status RestoreRuns(storage::Database& database, core::State& state) {
  ASSIGN_OR_RETURN(const std::vector<storage::AttemptRow> attempts,
                   storage::ListRunningAttempts(database));
  ASSIGN_OR_RETURN(const auto checkpoints, storage::ListCheckpointSteps(database));
  auto live = attempts.begin();  // both by run
  auto checkpoint = checkpoints.begin();
  absl::Status damage;
  RETURN_IF_ERROR(
      storage::ForEachRun(database, [&](const storage::RunRow& row, const storage::SpecRow& spec) {
        core::Run run = RunOf(row, spec);
        if (checkpoint != checkpoints.end() && checkpoint->first == row.id) {
          run.resume_step = run.furthest_step = checkpoint->second;
          ++checkpoint;
        }
        if (run.state == v1::RUN_STATE_RUNNING) {
          if (live == attempts.end() || live->id != run.last_attempt()) {
            damage = absl::DataLossError(
                absl::StrCat("run ", row.id.value(), " is running without an attempt"));
            return;
          }
          run.worker = live->worker;
          run.acked_offset = live->acked_offset;
          run.first_step = live->resume_step;
          ++live;
        }
        core::RestoreRun(state, std::move(run), row.reused != RunId());
      }));
  return damage;
}

// Makes rows and files agree. Files are renamed into place before their row is committed and
// removed after it is, so only someone else's hand can have taken a file that has one.
absl::Status ReconcileArtifacts(storage::Database& database, ArtifactStore& artifacts) {
  ASSIGN_OR_RETURN(const std::vector<std::string> stored, storage::ListArtifacts(database));
  storage::Transaction transaction(database);
  for (const std::string& sha256 : stored) {
    if (!absl::IsNotFound(artifacts.Open(sha256).status())) continue;
    LogError(absl::StrCat("artifact ", sha256,
                          ": its file is gone; runs go on from an older checkpoint"));
    RETURN_IF_ERROR(storage::ForgetLostArtifact(transaction, sha256));
  }
  RETURN_IF_ERROR(storage::ForgetUnreferencedArtifacts(transaction));
  RETURN_IF_ERROR(transaction.Commit());
  return artifacts.RemoveOrphans([&](const std::string& sha256) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(const auto row, storage::ReadArtifact(database, sha256));
    return row.has_value();
  });
}

}  // namespace

absl::StatusOr<core::State> Recover(storage::Database& database, ArtifactStore& artifacts,
                                    const Clock& clock, const core::Policy& policy) {
  RETURN_IF_ERROR(ReconcileArtifacts(database, artifacts));
  core::State state;
  state.policy = policy;
  RETURN_IF_ERROR(RestoreWorkers(database, clock, state));
  RETURN_IF_ERROR(RestoreSweeps(database, state));
  RETURN_IF_ERROR(RestoreRuns(database, state));
  return state;
}

}  // namespace qsweep
