#include "scheduler/recovery.h"

#include <algorithm>

#include "common/log.h"
#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "storage/artifacts.h"
#include "storage/attempts.h"
#include "storage/measurements.h"
#include "storage/runs.h"
#include "storage/sweeps.h"
#include "storage/workers.h"

namespace qsweep {
namespace {

// A moment that was stored by the wall clock, by the one that decides. The wall clock may have been
// set meanwhile, so the moment is at most `longest` away.
core::Time MonotonicAt(const Clock& clock, int64_t unix_us, absl::Duration longest) {
  const absl::Duration ahead = absl::Microseconds(unix_us - clock.UnixMicros());
  return clock.Monotonic() + std::clamp(ahead, absl::ZeroDuration(), longest);
}

// Since a moment that was stored likewise; one that seems to come is now.
absl::Duration SinceUnix(const Clock& clock, int64_t unix_us) {
  return std::max(absl::ZeroDuration(), absl::Microseconds(clock.UnixMicros() - unix_us));
}

absl::Status RestoreWorkers(storage::Database& database, const Clock& clock, core::State& state) {
  ASSIGN_OR_RETURN(const std::vector<storage::WorkerRow> workers, storage::ListWorkers(database));
  const core::Time now = clock.Monotonic();
  for (const storage::WorkerRow& worker : workers) {
    core::Worker& restored =
        core::RestoreWorker(state, now, worker.info, now - SinceUnix(clock, worker.last_seen_us));
    restored.draining = worker.draining;
    restored.moving = worker.moving;
    restored.faults = worker.faults;
    restored.rests_until =
        MonotonicAt(clock, worker.rests_until_us, state.policy.longest_quarantine);
  }
  return absl::OkStatus();
}

absl::Status RestoreSweeps(storage::Database& database, core::State& state) {
  ASSIGN_OR_RETURN(const std::vector<storage::SweepRow> sweeps,
                   storage::ListSweeps(database, SweepId(INT64_MAX), INT64_MAX));
  for (const storage::SweepRow& sweep : sweeps) {
    core::AddSweep(state, sweep.id, sweep.priority);
  }
  return absl::OkStatus();
}

absl::Status RestoreMeasurements(storage::Database& database, core::State& state) {
  ASSIGN_OR_RETURN(const auto rows, storage::ListMeasurements(database));
  for (const storage::MeasurementRow& row : rows) {
    core::OnMeasured(state, core::Time(), row.kind, row.worker,
                     row.peak_bytes - row.estimated_bytes, row.images_per_s);
  }
  return absl::OkStatus();
}

core::Run RunOf(const storage::RunRow& row, const storage::SpecRow& spec, const Clock& clock,
                const core::Policy& policy) {
  core::Run run;
  run.id = row.id;
  run.sweep = row.sweep;
  run.key = row.key;
  run.weights_key = spec.weights_key;
  run.kind = spec.kind;
  run.needs = {spec.model, spec.dataset, spec.memory_bytes};
  run.state = row.state;
  run.attempt = row.attempt;
  run.resource_failures = row.resource_failures;
  run.machine_faults = row.machine_faults;
  run.step = row.step;
  run.total_steps = row.total_steps;
  run.paused = row.paused;
  run.not_before = MonotonicAt(clock, row.not_before_us, policy.longest_backoff);
  for (const std::string& worker : row.avoided) run.avoided.insert(WorkerId(worker));
  return run;
}

absl::Status RestoreRuns(storage::Database& database, const Clock& clock, core::State& state) {
  ASSIGN_OR_RETURN(const std::vector<storage::AttemptRow> attempts,
                   storage::ListRunningAttempts(database));
  ASSIGN_OR_RETURN(const auto checkpoints, storage::ListCheckpointSteps(database));
  ASSIGN_OR_RETURN(const auto exhausted, storage::ListExhaustedBytes(database));
  ASSIGN_OR_RETURN(const auto lost_products, storage::ListLostProducts(database));
  auto live = attempts.begin();  // all by run
  auto checkpoint = checkpoints.begin();
  auto exhausting = exhausted.begin();
  auto lost = lost_products.begin();
  absl::Status damage;
  RETURN_IF_ERROR(
      storage::ForEachRun(database, [&](const storage::RunRow& row, const storage::SpecRow& spec) {
        core::Run run = RunOf(row, spec, clock, state.policy);
        if (checkpoint != checkpoints.end() && checkpoint->first == row.id) {
          run.resume_step = run.furthest_step = checkpoint->second;
          ++checkpoint;
        }
        if (exhausting != exhausted.end() && exhausting->first == row.id) {
          run.exhausted_bytes = exhausting->second;
          ++exhausting;
        }
        if (lost != lost_products.end() && lost->first == row.id) {
          run.lost_product = lost->second;
          ++lost;
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
          run.memory_bytes = live->memory_bytes;
          ++live;
        }
        core::AddRun(state, std::move(run), row.reused != RunId());
      }));
  return damage;
}

// Whether it has a file, which may have been aside.
absl::StatusOr<bool> HasFile(ArtifactStore& artifacts, const std::string& sha256) {
  if (!absl::IsNotFound(artifacts.Open(sha256).status())) return true;
  return artifacts.TakeBack(sha256);
}

// How the files differ from what the database says of them.
struct Differences {
  std::vector<std::string> lost;           // had a file
  std::vector<storage::ArtifactRow> back;  // had none
};

// Where most files are lost it is the directory that is missing, and they are not to be forgotten.
absl::StatusOr<Differences> CompareArtifacts(storage::Database& database, ArtifactStore& artifacts,
                                             bool forget) {
  ASSIGN_OR_RETURN(const std::vector<storage::ArtifactRow> stored,
                   storage::ListArtifacts(database));
  Differences found;
  size_t expected = 0;
  for (const storage::ArtifactRow& row : stored) {
    ASSIGN_OR_RETURN(const bool there, HasFile(artifacts, row.sha256));
    if (!row.lost) ++expected;
    if (row.lost && there) found.back.push_back(row);
    if (!row.lost && !there) found.lost.push_back(row.sha256);
  }
  if (forget || 2 * found.lost.size() <= expected) return found;
  return absl::FailedPreconditionError(absl::StrCat(
      artifacts.directory(), ": ", found.lost.size(), " of the ", expected,
      " files that the database names are not there; mount or restore the directory, or start once "
      "with --forget-lost-artifacts to go on without them"));
}

// Makes rows and files agree. Files are renamed into place before their row is committed and
// removed after it is, so only someone else's hand can have taken a file that has one.
absl::Status ReconcileArtifacts(storage::Database& database, ArtifactStore& artifacts,
                                bool forget) {
  ASSIGN_OR_RETURN(const Differences found, CompareArtifacts(database, artifacts, forget));
  storage::Transaction transaction(database);
  for (const storage::ArtifactRow& row : found.back) {
    LogInfo(absl::StrCat("artifact ", row.sha256, ": its file is back"));
    RETURN_IF_ERROR(storage::InsertArtifact(transaction, row));
  }
  for (const std::string& sha256 : found.lost) {
    LogError(absl::StrCat("artifact ", sha256, ": its file is gone"));
    RETURN_IF_ERROR(storage::LoseArtifact(transaction, sha256));
  }
  RETURN_IF_ERROR(storage::ForgetUnreferencedArtifacts(transaction));
  RETURN_IF_ERROR(transaction.Commit());
  return artifacts.SetOrphansAside([&](const std::string& sha256) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(const auto row, storage::ReadArtifact(database, sha256));
    return row.has_value();
  });
}

}  // namespace

absl::StatusOr<core::State> Recover(storage::Database& database, ArtifactStore& artifacts,
                                    const Clock& clock, const core::Policy& policy,
                                    bool forget_lost_artifacts) {
  RETURN_IF_ERROR(ReconcileArtifacts(database, artifacts, forget_lost_artifacts));
  core::State state;
  state.policy = policy;
  RETURN_IF_ERROR(RestoreWorkers(database, clock, state));
  RETURN_IF_ERROR(RestoreMeasurements(database, state));
  RETURN_IF_ERROR(RestoreSweeps(database, state));
  RETURN_IF_ERROR(RestoreRuns(database, clock, state));
  return state;
}

}  // namespace qsweep
