#include <utility>

#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "scheduler/core/transitions.h"

namespace qsweep::core {
namespace {

// The pending run that is to compute for its whole cell, where none runs; for all cells before any
// run waits, since what waits for a cell's weights may be older than the twin that took over there.
void ChooseActive(State& state) {
  for (const auto& [id, sweep] : state.sweeps) {
    for (const RunId run_id : sweep.runs) {
      const Run& run = state.runs.at(run_id);
      Cell& cell = state.cells.at(run.key);
      const bool wanted = cell.succeeded == RunId() && cell.active == RunId();
      if (wanted && run.state == v1::RUN_STATE_PENDING) cell.active = run_id;
    }
  }
}

// A restored pending run, once ChooseActive has been called.
void WaitAgain(State& state, Time now, Run& run, Effects& effects) {
  if (state.cells.at(run.key).active == run.id) return AwaitWeights(state, now, run, effects);
  Admit(state, now, run, effects);
}

// Pending runs that were to begin with weights that are not there any more.
void AwaitWeightsAgain(State& state, Time now, const std::string& key, Effects& effects) {
  for (const auto& [id, sweep] : state.sweeps) {
    for (const RunId run_id : sweep.runs) {
      Run& run = state.runs.at(run_id);
      const bool waits = run.wait == Wait::kTwin || run.wait == Wait::kWeights;
      if (run.weights_key != key || run.state != v1::RUN_STATE_PENDING || waits) continue;
      Withdraw(state, run);
      AwaitWeights(state, now, run, effects);
    }
  }
}

}  // namespace

void OnSubmit(State& state, Time now, SweepId id, int32_t priority, std::vector<Run> runs,
              Effects& effects) {
  AddSweep(state, id, priority);
  std::vector<RunId> ids;
  for (Run& run : runs) {
    QSWEEP_CHECK(run.state == v1::RUN_STATE_PENDING && run.attempt == AttemptNumber());
    ids.push_back(run.id);
    AddRun(state, std::move(run), /*reused=*/false);
  }
  for (const RunId run : ids) Admit(state, now, state.runs.at(run), effects);
}

int32_t OnCancel(State& state, Time now, const std::vector<RunId>& runs, Effects& effects) {
  int32_t cancelled = 0;
  // Newest first: those that wait for others go before those they wait for.
  for (auto id = runs.rbegin(); id != runs.rend(); ++id) {
    Run& run = state.runs.at(*id);
    if (run.state == v1::RUN_STATE_PENDING) {
      Withdraw(state, run);
    } else if (run.state == v1::RUN_STATE_RUNNING) {
      Worker& worker = state.workers.at(run.worker);
      CloseAttempt(state, run, {{}, Outcome::kCancelled}, effects);
      KillAttempt(state, worker, run, effects);
    } else {
      continue;
    }
    ++cancelled;
    Note(run, "cancelled", effects);
    EndRun(state, now, run, {v1::RUN_STATE_CANCELLED}, effects);
  }
  return cancelled;
}

int32_t OnRetry(State& state, Time now, const std::vector<RunId>& runs, Effects& effects) {
  int32_t retried = 0;
  for (const RunId id : runs) {
    Run& run = state.runs.at(id);
    const bool lost = !std::exchange(run.lost_product, "").empty();
    const bool wanting = run.state == v1::RUN_STATE_FAILED || run.state == v1::RUN_STATE_CANCELLED;
    if (!wanting && !lost) continue;
    ++retried;
    run.resource_failures = run.machine_faults = 0;
    run.avoided.clear();
    run.not_before = now;
    Reopen(state, now, run, effects);
    Note(run, "to be retried", effects);
    Admit(state, now, run, effects);
  }
  return retried;
}

void OnProductLost(State& state, Time now, RunId id, const std::string& name, Effects& effects) {
  Run& run = state.runs.at(id);
  if (run.state != v1::RUN_STATE_SUCCEEDED || !run.lost_product.empty()) return;
  run.lost_product = name;
  run.resume_step = run.furthest_step = 0;  // its checkpoints went when it succeeded
  Note(run, absl::StrCat(name, " is damaged or gone"), effects);
  Cell& cell = state.cells.at(run.key);
  if (cell.succeeded != id) return;
  cell.succeeded = RunId();
  AwaitWeightsAgain(state, now, run.key, effects);
}

int32_t OnPause(State& state, Time now, const std::vector<RunId>& runs, Effects& effects) {
  int32_t paused = 0;
  for (const RunId id : runs) {
    Run& run = state.runs.at(id);
    const bool running = run.state == v1::RUN_STATE_RUNNING;
    if (run.paused || !(running || run.state == v1::RUN_STATE_PENDING)) continue;
    ++paused;
    SetPaused(state, run, true, effects);
    if (running) {
      StopWithCheckpoint(state, now, run, StopCause::kPaused, "paused", effects);
      continue;
    }
    Note(run, "paused", effects);
    // One that waits for another run goes on doing so, and is held only then.
    if (run.wait != Wait::kQueued && run.wait != Wait::kDelayed) continue;
    Withdraw(state, run);
    Enqueue(state, now, run);
  }
  return paused;
}

int32_t OnResume(State& state, Time now, const std::vector<RunId>& runs, Effects& effects) {
  int32_t resumed = 0;
  for (const RunId id : runs) {
    Run& run = state.runs.at(id);
    if (!run.paused) continue;
    ++resumed;
    SetPaused(state, run, false, effects);
    Note(run, "resumed", effects);
    // One that is still stopping is queued when it has.
    if (run.state == v1::RUN_STATE_PENDING && run.wait == Wait::kPaused) Enqueue(state, now, run);
  }
  return resumed;
}

Worker& RestoreWorker(State& state, Time now, const v1::WorkerInfo& info, Time last_seen) {
  Worker& worker = state.workers[WorkerId(info.id())];
  worker.info = info;
  worker.last_seen = last_seen;
  worker.lease_end = now;
  return worker;
}

void AddSweep(State& state, SweepId id, int32_t priority) {
  QSWEEP_CHECK(state.sweeps.try_emplace(id).second);
  state.sweeps.at(id).priority = priority;
}

void AddRun(State& state, Run run, bool reused) {
  Sweep& sweep = state.sweeps.at(run.sweep);
  sweep.runs.push_back(run.id);
  ++sweep.count[run.state];
  if (reused) ++sweep.reused;
  if (run.paused) ++sweep.paused;
  run.priority = sweep.priority;
  run.estimated_bytes = run.needs.memory_bytes;
  run.needs.memory_bytes = NeededBytes(state, run);
  Cell& cell = state.cells[run.key];
  const bool counts = run.state == v1::RUN_STATE_SUCCEEDED && run.lost_product.empty();
  if (counts && !reused) cell.succeeded = run.id;
  if (run.state == v1::RUN_STATE_RUNNING) {
    cell.active = run.id;
    Worker& worker = state.workers.at(run.worker);
    worker.running.insert(run.id);
    worker.reserved_bytes += run.memory_bytes;
    if (worker.moving) run.stop = StopCause::kDrained;
    if (run.paused) run.stop = StopCause::kPaused;
  }
  const RunId id = run.id;
  QSWEEP_CHECK(state.runs.emplace(id, std::move(run)).second);
}

void StartAfterRecovery(State& state, Time now, Effects& effects) {
  for (auto& [id, worker] : state.workers) {
    if (!worker.running.empty()) worker.lease_end = now + state.policy.lease;
  }
  ChooseActive(state);
  for (const auto& [id, sweep] : state.sweeps) {
    for (const RunId run_id : sweep.runs) {
      Run& run = state.runs.at(run_id);
      if (run.state == v1::RUN_STATE_PENDING) WaitAgain(state, now, run, effects);
      run.last_progress = now;
      run.stop_deadline = now + state.policy.stop_patience;
    }
  }
  state.last_tick = now;
}

}  // namespace qsweep::core
