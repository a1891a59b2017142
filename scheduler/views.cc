#include "scheduler/views.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/utf8.h"
#include "scheduler/core/waiting.h"
#include "storage/attempts.h"
#include "storage/logs.h"
#include "storage/results.h"

namespace qsweep {
namespace {

constexpr int64_t kHistoryLines = 1000;
constexpr size_t kMaxWatchedErrorBytes = 500;

void AddAttempts(const core::State& state, const std::vector<storage::AttemptRow>& attempts,
                 v1::RunDetail* detail) {
  for (const storage::AttemptRow& row : attempts) {
    v1::AttemptRecord* record = detail->add_attempts();
    record->set_number(row.id.number.value());
    record->set_worker(state.workers.at(row.worker).info.name());
    record->set_started_unix_us(row.started_us);
    record->set_ended_unix_us(row.ended_us);
    record->set_resume_step(row.resume_step);
    record->set_outcome(row.outcome);
    record->set_blame(row.blame);
    record->set_error(row.error);
    if (!row.log_tail.empty()) detail->set_log_tail(row.log_tail);
  }
}

}  // namespace

absl::StatusOr<storage::SweepRow> ExistingSweep(storage::Database& database, SweepId id) {
  ASSIGN_OR_RETURN(auto row, storage::ReadSweep(database, id));
  if (!row.has_value())
    return absl::NotFoundError(absl::StrCat("no sweep ", id.value(), "; `qctl status` lists them"));
  return *std::move(row);
}

absl::StatusOr<storage::RunRow> ExistingRun(storage::Database& database, RunId id) {
  ASSIGN_OR_RETURN(auto row, storage::ReadRun(database, id));
  if (!row.has_value())
    return absl::NotFoundError(
        absl::StrCat("no run ", id.value(), "; `qctl runs SWEEP` lists a sweep's"));
  return *std::move(row);
}

RunId ResultOwner(const storage::RunRow& row) {
  return row.reused == RunId() ? row.id : row.reused;
}

absl::StatusOr<SweepId> ResolveSweep(storage::Database& database, const std::string& sweep) {
  int64_t number = 0;
  if (absl::SimpleAtoi(sweep, &number)) {
    ASSIGN_OR_RETURN(const auto row, storage::ReadSweep(database, SweepId(number)));
    if (row.has_value()) return row->id;
  }
  ASSIGN_OR_RETURN(const auto id, storage::FindSweepByName(database, sweep));
  if (!id.has_value())
    return absl::NotFoundError(absl::StrCat("no sweep '", sweep, "'; `qctl status` lists them"));
  return *id;
}

absl::StatusOr<WorkerId> ResolveWorker(const core::State& state, const std::string& worker) {
  if (state.workers.count(WorkerId(worker)) > 0) return WorkerId(worker);
  std::vector<std::string> known, connected;
  for (const auto& [id, of_id] : state.workers) {
    if (of_id.info.name() != worker) continue;
    known.push_back(id.value());
    if (of_id.session != 0) connected.push_back(id.value());
  }
  if (known.empty()) {
    return absl::NotFoundError(absl::StrCat("no worker '", worker, "'; `qctl workers` lists them"));
  }
  if (connected.size() == 1) return WorkerId(connected[0]);
  if (known.size() == 1) return WorkerId(known[0]);
  return absl::InvalidArgumentError(
      absl::StrCat("several workers are called '", worker,
                   "'; name one by its id: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<RunId> ResolveRun(storage::Database& database, const std::string& run) {
  const size_t slash = run.find('/');
  int64_t number = 0;
  if (slash == std::string::npos) {
    if (!absl::SimpleAtoi(run, &number)) {
      return absl::InvalidArgumentError(
          absl::StrCat("run '", run, "': write its number or SWEEP/NAME"));
    }
    ASSIGN_OR_RETURN(const storage::RunRow row, ExistingRun(database, RunId(number)));
    return row.id;
  }
  ASSIGN_OR_RETURN(const SweepId sweep, ResolveSweep(database, run.substr(0, slash)));
  ASSIGN_OR_RETURN(const auto id, storage::FindRun(database, sweep, run.substr(slash + 1)));
  if (!id.has_value()) {
    return absl::NotFoundError(absl::StrCat("no run '", run.substr(slash + 1), "' in sweep '",
                                            run.substr(0, slash), "'; `qctl runs ",
                                            run.substr(0, slash), "` lists them"));
  }
  return *id;
}

v1::Sweep SweepView(const core::State& state, core::Time now, const storage::SweepRow& row) {
  const core::Sweep& sweep = state.sweeps.at(row.id);
  v1::Sweep view;
  view.set_id(row.id.value());
  view.set_name(row.name);
  view.set_priority(row.priority);
  view.set_created_unix_us(row.created_us);
  view.set_ended_unix_us(row.ended_us);
  view.set_pending(sweep.count[v1::RUN_STATE_PENDING]);
  view.set_running(sweep.count[v1::RUN_STATE_RUNNING]);
  view.set_succeeded(sweep.count[v1::RUN_STATE_SUCCEEDED]);
  view.set_failed(sweep.count[v1::RUN_STATE_FAILED]);
  view.set_cancelled(sweep.count[v1::RUN_STATE_CANCELLED]);
  view.set_reused(sweep.reused);
  view.set_source_yaml(row.source_yaml);
  view.set_paused(sweep.paused);
  view.set_unplaceable(core::Unplaceable(state, row.id));
  view.set_waiting(core::SweepWaits(state, now, row.id));
  return view;
}

absl::StatusOr<v1::Run> RunView(storage::Database& database, const core::State& state,
                                core::Time now, const storage::RunRow& row) {
  const core::Run& run = state.runs.at(row.id);
  v1::Run view;
  view.set_id(row.id.value());
  view.set_sweep_id(row.sweep.value());
  view.set_name(row.name);
  view.set_key(row.key);
  view.set_state(row.state);
  view.set_attempt(row.attempt.value());
  view.set_step(row.step);
  view.set_total_steps(row.total_steps);
  view.set_blame(row.blame);
  view.set_error(row.error);
  view.set_reused_run_id(row.reused.value());
  view.set_started_unix_us(row.started_us);
  view.set_ended_unix_us(row.ended_us);
  view.set_paused(row.paused);
  view.set_remark(core::RunRemark(state, now, run));
  if (row.state == v1::RUN_STATE_RUNNING) {
    const core::Worker& worker = state.workers.at(run.worker);
    view.set_worker(worker.info.name());
    view.set_step(run.step);  // heartbeats are not stored
    view.set_total_steps(run.total_steps);
    // Of one that is out of reach nothing is known now.
    if (worker.session != 0) view.set_images_per_s(run.images_per_s);
  } else if (row.state == v1::RUN_STATE_PENDING) {
    view.set_waiting(core::WaitingReason(state, now, run));
  } else if (row.state == v1::RUN_STATE_SUCCEEDED) {
    ASSIGN_OR_RETURN(const auto best, storage::ReadBest(database, ResultOwner(row)));
    if (best.has_value()) *view.mutable_best() = *best;
  }
  return view;
}

absl::StatusOr<v1::RunDetail> RunDetailView(storage::Database& database, const core::State& state,
                                            core::Time now, RunId run) {
  v1::RunDetail detail;
  ASSIGN_OR_RETURN(const storage::RunRow row, ExistingRun(database, run));
  ASSIGN_OR_RETURN(*detail.mutable_run(), RunView(database, state, now, row));
  ASSIGN_OR_RETURN(const auto spec, storage::ReadSpec(database, row.key));
  QSWEEP_CHECK(spec.has_value());
  ASSIGN_OR_RETURN(*detail.mutable_spec(), ReadStoredSpec(spec->json));
  if (row.state == v1::RUN_STATE_SUCCEEDED) {
    ASSIGN_OR_RETURN(const auto result, storage::ReadResult(database, ResultOwner(row)));
    if (result.has_value()) *detail.mutable_result() = *result;
  }
  ASSIGN_OR_RETURN(const auto facts, storage::ReadQuantization(database, ResultOwner(row)));
  if (facts.has_value()) *detail.mutable_quantization() = *facts;
  ASSIGN_OR_RETURN(const auto attempts, storage::ListAttempts(database, run));
  AddAttempts(state, attempts, &detail);
  for (const auto& [worker, reason] : core::WorkerVerdicts(state, now, state.runs.at(run))) {
    v1::WorkerVerdict* verdict = detail.add_verdicts();
    verdict->set_worker(worker);
    verdict->set_reason(reason);
  }
  ASSIGN_OR_RETURN(const auto history, storage::ReadHistory(database, run, kHistoryLines));
  for (const storage::LogRow& line : history) {
    v1::HistoryLine* out = detail.add_history();
    out->set_unix_us(line.at_us);
    out->set_attempt(line.attempt.value());
    out->set_text(line.text);
  }
  return detail;
}

v1::WorkerStatus WorkerView(const core::State& state, const core::Worker& worker, core::Time now,
                            int64_t unix_us) {
  v1::WorkerStatus view;
  *view.mutable_info() = worker.info;
  view.set_state(worker.session != 0      ? "connected"
                 : worker.lease_end > now ? "lost contact"
                                          : "gone");
  view.set_last_seen_unix_us(unix_us - absl::ToInt64Microseconds(now - worker.last_seen));
  for (const RunId run : worker.running) view.add_running_run_ids(run.value());
  view.set_cpu_load(worker.cpu_load);
  view.set_memory_free_bytes(worker.memory_free_bytes);
  view.set_disk_free_bytes(worker.disk_free_bytes);
  view.set_refuses(worker.refuses);
  view.set_draining(worker.draining);
  view.set_remark(core::WorkerRemark(state, now, worker));
  return view;
}

namespace {

absl::StatusOr<v1::SweepUpdate> Update(storage::Database& database, const core::State& state,
                                       core::Time now, SweepId sweep) {
  v1::SweepUpdate update;
  ASSIGN_OR_RETURN(const storage::SweepRow row, ExistingSweep(database, sweep));
  *update.mutable_sweep() = SweepView(state, now, row);
  update.mutable_sweep()->clear_source_yaml();
  return update;
}

// All of 100,000 runs may be in one message.
absl::Status AddRun(storage::Database& database, const core::State& state, core::Time now,
                    const storage::RunRow& row, v1::SweepUpdate* update) {
  ASSIGN_OR_RETURN(v1::Run run, RunView(database, state, now, row));
  run.set_error(std::string(Beginning(run.error(), kMaxWatchedErrorBytes)));
  *update->add_changed() = std::move(run);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::SweepUpdate> FirstUpdate(storage::Database& database, const core::State& state,
                                            core::Time now, SweepId sweep) {
  ASSIGN_OR_RETURN(v1::SweepUpdate update, Update(database, state, now, sweep));
  ASSIGN_OR_RETURN(const auto runs,
                   storage::ListRuns(database, sweep,
                                     {v1::RUN_STATE_RUNNING, v1::RUN_STATE_SUCCEEDED,
                                      v1::RUN_STATE_FAILED, v1::RUN_STATE_CANCELLED},
                                     RunId(0), INT64_MAX));
  for (const storage::RunRow& run : runs) {
    RETURN_IF_ERROR(AddRun(database, state, now, run, &update));
  }
  return update;
}

absl::StatusOr<v1::SweepUpdate> NextUpdate(storage::Database& database, const core::State& state,
                                           core::Time now, SweepId sweep,
                                           const std::set<RunId>& changed) {
  ASSIGN_OR_RETURN(v1::SweepUpdate update, Update(database, state, now, sweep));
  for (const RunId id : changed) {
    ASSIGN_OR_RETURN(const storage::RunRow run, ExistingRun(database, id));
    RETURN_IF_ERROR(AddRun(database, state, now, run, &update));
  }
  return update;
}

}  // namespace qsweep
