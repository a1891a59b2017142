#include "scheduler/persistence.h"

#include "common/attempt_dir.h"
#include "common/log.h"
#include "common/status.h"
#include "storage/artifacts.h"
#include "storage/attempts.h"
#include "storage/logs.h"
#include "storage/metrics.h"
#include "storage/runs.h"
#include "storage/sweeps.h"
#include "storage/workers.h"

namespace qsweep {
namespace {

absl::string_view OutcomeText(core::Outcome outcome) {
  switch (outcome) {
    case core::Outcome::kSucceeded:
      return "succeeded";
    case core::Outcome::kFailed:
      return "failed";
    case core::Outcome::kLost:
      return "lost";
    case core::Outcome::kReleased:
      return "released";
    case core::Outcome::kCancelled:
      return "cancelled";
  }
  QSWEEP_CHECK(false);
}

absl::Status Drop(Turn& turn, RunId run, storage::ArtifactRole role) {
  ASSIGN_OR_RETURN(const std::vector<std::string> forgotten,
                   storage::DropArtifactRefs(turn.transaction, run, role, /*keep=*/0));
  turn.RemoveArtifacts(forgotten);
  return absl::OkStatus();
}

struct Store {
  Turn& turn;
  storage::Transaction& t;

  int64_t UnixAfter(absl::Duration delay) const {
    return turn.unix_us + absl::ToInt64Microseconds(delay);
  }

  absl::Status operator()(const core::AttemptStarted& started) const {
    turn.Touch(started.attempt.run);
    RETURN_IF_ERROR(storage::StartRun(t, started.attempt, started.resume_step, turn.unix_us));
    if (started.attempt.number > AttemptNumber(1)) {  // before the first there were no points
      RETURN_IF_ERROR(storage::SupersedeMetrics(t, started.attempt.run, started.resume_step));
    }
    return storage::InsertAttempt(t, started.attempt, started.worker, started.resume_step,
                                  started.memory_bytes, turn.unix_us);
  }
  absl::Status operator()(const core::AttemptOver& over) const {
    RETURN_IF_ERROR(Drop(turn, over.attempt.run, storage::ArtifactRole::kUpload));
    return storage::EndAttempt(t, over.attempt, OutcomeText(over.outcome), over.blame, over.error,
                               over.log_tail, turn.unix_us);
  }
  absl::Status operator()(const core::RunMoved& moved) const {
    turn.Touch(moved.run);
    const bool ran = turn.state.runs.at(moved.run).attempt > AttemptNumber(0);
    if (moved.to == v1::RUN_STATE_SUCCEEDED && ran) {
      RETURN_IF_ERROR(Drop(turn, moved.run, storage::ArtifactRole::kCheckpoint));
    }
    if (moved.from == v1::RUN_STATE_SUCCEEDED) {  // it has lost one, and makes all of them anew
      RETURN_IF_ERROR(Drop(turn, moved.run, storage::ArtifactRole::kProduct));
    }
    storage::RunMove move{moved.run,
                          moved.from,
                          moved.to,
                          moved.blame,
                          moved.error,
                          moved.reused,
                          moved.resource_failures,
                          moved.machine_faults};
    if (moved.delay > absl::ZeroDuration()) move.not_before_us = UnixAfter(moved.delay);
    for (const WorkerId& worker : moved.avoided) move.avoided.push_back(worker.value());
    return storage::MoveRun(t, move, turn.unix_us);
  }
  absl::Status operator()(const core::RunPaused& paused) const {
    turn.Touch(paused.run);
    return storage::SetRunPaused(t, paused.run, paused.paused);
  }
  absl::Status operator()(const core::WorkerFaults& faults) const {
    return storage::SetWorkerFaults(t, faults.worker, faults.faults, UnixAfter(faults.rest));
  }
  absl::Status operator()(const core::WorkerDraining& draining) const {
    return storage::SetWorkerDraining(t, draining.worker, draining.draining, draining.moving);
  }
  absl::Status operator()(const core::SweepEnded& ended) const {
    return storage::SetSweepEnded(t, ended.sweep, turn.unix_us);
  }
  absl::Status operator()(const core::SweepReopened& reopened) const {
    return storage::SetSweepEnded(t, reopened.sweep, 0);
  }
  absl::Status operator()(const core::Noted& noted) const {
    if (noted.attempt.number != AttemptNumber()) LogInfo(LogTag(noted.attempt) + noted.text);
    return storage::AddHistory(t, noted.attempt, turn.unix_us, noted.text);
  }
};

void SetRef(const storage::ArtifactRow& content, v1::ArtifactRef* ref) {
  ref->set_sha256(content.sha256);
  ref->set_bytes(content.bytes);
}

absl::Status CompleteAssign(Turn& turn, v1::Assign* assign) {
  const core::Run& run = turn.state.runs.at(RunId(assign->attempt().run_id()));
  ASSIGN_OR_RETURN(const auto row, storage::ReadRun(turn.database(), run.id));
  ASSIGN_OR_RETURN(const auto spec, storage::ReadSpec(turn.database(), run.key));
  QSWEEP_CHECK(row.has_value() && spec.has_value());
  assign->set_run_name(row->name);
  assign->set_spec_json(spec->json);
  if (assign->resume_step() > 0) {
    ASSIGN_OR_RETURN(const auto checkpoint,
                     storage::ReadCheckpoint(turn.database(), run.id, assign->resume_step()));
    QSWEEP_CHECK(checkpoint.has_value() && checkpoint->step == assign->resume_step());
    SetRef(checkpoint->content, assign->mutable_resume_from());
  }
  if (!run.weights_key.empty()) {
    const RunId producer = turn.state.cells.at(run.weights_key).succeeded;
    ASSIGN_OR_RETURN(const auto model, storage::ReadProduct(turn.database(), producer, kModelFile));
    // Without it the trainer says what is missing.
    if (model.has_value()) SetRef(*model, assign->mutable_weights());
  }
  return absl::OkStatus();
}

}  // namespace

void StoreChange(Turn& turn, const core::Change& change) {
  if (const absl::Status status = std::visit(Store{turn, turn.transaction}, change); !status.ok()) {
    LogError(status.message());
  }
}

absl::Status CompleteAssigns(Turn& turn) {
  for (core::Outgoing& out : turn.effects.messages) {
    if (out.message.has_assign()) {
      RETURN_IF_ERROR(CompleteAssign(turn, out.message.mutable_assign()));
    }
  }
  return absl::OkStatus();
}

}  // namespace qsweep
