#include "scheduler/core/transitions.h"

#include <algorithm>
#include <utility>

#include "common/attempt_id.h"
#include "common/state_names.h"
#include "common/status.h"
#include "scheduler/core/fit.h"
#include "scheduler/core/reactor.h"

namespace qsweep::core {
namespace {

Position PositionOf(const Run& run) { return {run.priority, run.id}; }
Line LineOf(const Run& run) { return {run.sweep, run.needs, run.avoided}; }

// Counts and announces a change of state.
void Move(State& state, Run& run, const Ending& to, absl::Duration delay, Effects& effects) {
  Sweep& sweep = state.sweeps.at(run.sweep);
  const bool was_open = sweep.open();
  const v1::RunState from = run.state;
  --sweep.count[from];
  ++sweep.count[to.state];
  run.state = to.state;
  if (run.paused && HasEnded(to.state)) SetPaused(state, run, false, effects);
  if (to.reused != RunId()) ++sweep.reused;
  effects.changes.emplace_back(RunMoved{run.id, from, to.state, to.blame, to.error, to.reused,
                                        run.resource_failures, run.machine_faults, delay,
                                        run.avoided});
  if (was_open && !sweep.open()) effects.changes.emplace_back(SweepEnded{run.sweep});
  if (!was_open && sweep.open()) effects.changes.emplace_back(SweepReopened{run.sweep});
}

// What follows for the others when the run that computed for all of them has ended.
void SettleCell(State& state, Time now, const Run& run, const Ending& ending, Effects& effects) {
  Cell& cell = state.cells.at(run.key);
  if (cell.active != run.id) return;
  cell.active = RunId();
  std::set<RunId> twins = std::exchange(cell.twins, {});
  if (ending.state == v1::RUN_STATE_CANCELLED && !twins.empty()) {
    // Only this one is unwanted: the next takes its place, and the consumers wait on.
    for (const RunId id : twins) Admit(state, now, state.runs.at(id), effects);
    return;
  }
  const std::set<RunId> consumers = std::exchange(cell.consumers, {});
  if (ending.state == v1::RUN_STATE_SUCCEEDED) {
    cell.succeeded = run.id;
    for (const RunId id : twins) Admit(state, now, state.runs.at(id), effects);
  } else {
    for (const RunId id : twins) {
      EndRun(state, now, state.runs.at(id),
             {v1::RUN_STATE_FAILED, ending.blame,
              absl::StrCat("run ", run.id.value(),
                           ", which computes the same, failed: ", ending.error),
              RunId()},
             effects);
    }
  }
  for (const RunId id : consumers) AwaitWeights(state, now, state.runs.at(id), effects);
}

absl::Duration Doubling(absl::Duration first, absl::Duration longest, int32_t times) {
  return std::min(longest, first * static_cast<double>(int64_t{1} << std::min(times, 30)));
}

// What an attempt may use: its share of the worker's memory, or all it needs at least.
int64_t Grant(const Worker& worker, const Needs& needs) {
  const int64_t free = worker.info.memory_bytes() - worker.reserved_bytes;
  const int64_t share = worker.info.memory_bytes() / std::max(1, worker.info.slots());
  return std::max(needs.memory_bytes, std::min(share, free));
}

void CountFault(State& state, Time now, const WorkerId& id, bool got_somewhere, Effects& effects) {
  Worker& worker = state.workers.at(id);
  if (got_somewhere) return ClearFaults(worker, effects);
  ++worker.faults;
  const Policy& policy = state.policy;
  absl::Duration rest;
  if (worker.faults >= policy.quarantine_after) {
    rest = Doubling(policy.first_quarantine, policy.longest_quarantine,
                    worker.faults - policy.quarantine_after);
  }
  worker.rests_until = now + rest;
  state.next_deadline = std::min(state.next_deadline, worker.rests_until);
  effects.changes.emplace_back(WorkerFaults{id, worker.faults, rest});
}

}  // namespace

const char* CauseText(StopCause cause) {
  switch (cause) {
    case StopCause::kPaused:
      return "paused";
    case StopCause::kDrained:
      return "its worker is draining";
    case StopCause::kPreempted:
      return "a run of higher priority needs its place";
    case StopCause::kNone:
      break;
  }
  return "";
}

void Note(const Run& run, std::string text, Effects& effects) {
  effects.changes.emplace_back(Noted{run.last_attempt(), std::move(text)});
}

void Admit(State& state, Time now, Run& run, Effects& effects) {
  Cell& cell = state.cells[run.key];
  if (cell.succeeded != RunId()) {
    Note(run, absl::StrCat("takes the result of run ", cell.succeeded.value()), effects);
    EndRun(state, now, run, {.state = v1::RUN_STATE_SUCCEEDED, .reused = cell.succeeded}, effects);
    return;
  }
  if (cell.active != RunId()) {
    cell.twins.insert(run.id);
    run.wait = Wait::kTwin;
    return;
  }
  cell.active = run.id;
  AwaitWeights(state, now, run, effects);
}

void AwaitWeights(State& state, Time now, Run& run, Effects& effects) {
  if (run.weights_key.empty()) return Enqueue(state, now, run);
  Cell& producer = state.cells[run.weights_key];
  if (producer.succeeded != RunId()) return Enqueue(state, now, run);
  if (producer.active != RunId()) {
    producer.consumers.insert(run.id);
    run.wait = Wait::kWeights;
    return;
  }
  EndRun(state, now, run,
         {v1::RUN_STATE_FAILED, v1::BLAME_CONFIG,
          "model.weights: the run that produces them failed, was cancelled or has lost them; retry "
          "that one, then this one",
          RunId()},
         effects);
}

void Enqueue(State& state, Time now, Run& run) {
  if (run.paused) {
    run.wait = Wait::kPaused;
    return;
  }
  if (run.not_before > now) {
    run.wait = Wait::kDelayed;
    state.delayed.emplace(run.not_before, run.id);
    return;
  }
  run.wait = Wait::kQueued;
  run.queued_at = now;
  run.needs.memory_bytes = NeededBytes(state, run);  // by what was measured meanwhile
  state.queue[LineOf(run)].insert(PositionOf(run));
}

void Withdraw(State& state, Run& run) {
  switch (run.wait) {
    case Wait::kQueued: {
      const auto line = state.queue.find(LineOf(run));
      QSWEEP_CHECK(line != state.queue.end() && line->second.erase(PositionOf(run)) == 1);
      if (!line->second.empty()) return;
      state.reasons.erase(line->first);
      state.queue.erase(line);
      return;
    }
    case Wait::kDelayed:
      QSWEEP_CHECK(state.delayed.erase({run.not_before, run.id}) == 1);
      return;
    case Wait::kTwin:
      QSWEEP_CHECK(state.cells.at(run.key).twins.erase(run.id) == 1);
      return;
    case Wait::kWeights:
      QSWEEP_CHECK(state.cells.at(run.weights_key).consumers.erase(run.id) == 1);
      return;
    case Wait::kPaused:
      return;
  }
}

void StartAttempt(State& state, Time now, Run& run, Worker& worker, Effects& effects) {
  std::string note = absl::StrCat("assigned to ", worker.info.name());
  if (run.resume_step > 0) absl::StrAppend(&note, ", from step ", run.resume_step);
  if (const int64_t waited = absl::ToInt64Seconds(now - run.queued_at); waited > 0) {
    absl::StrAppend(&note, ", after ", waited, " s");
    const auto reason = state.reasons.find(LineOf(run));
    if (reason != state.reasons.end()) absl::StrAppend(&note, ": ", reason->second);
  }
  Withdraw(state, run);
  Sweep& sweep = state.sweeps.at(run.sweep);
  --sweep.count[v1::RUN_STATE_PENDING];
  ++sweep.count[v1::RUN_STATE_RUNNING];
  run.state = v1::RUN_STATE_RUNNING;
  run.attempt = AttemptNumber(run.attempt.value() + 1);
  run.worker = WorkerId(worker.info.id());
  run.acked_offset = 0;
  run.step = run.first_step = run.resume_step;
  run.images_per_s = 0;
  run.last_progress = now;
  worker.running.insert(run.id);
  run.memory_bytes = Grant(worker, run.needs);
  worker.reserved_bytes += run.memory_bytes;
  effects.changes.emplace_back(
      AttemptStarted{run.last_attempt(), run.worker, run.resume_step, run.memory_bytes});
  Note(run, std::move(note), effects);
  Outgoing& out = effects.messages.emplace_back();
  out.session = worker.session;
  v1::Assign* assign = out.message.mutable_assign();
  *assign->mutable_attempt() = ToProto(run.last_attempt());
  assign->set_resume_step(run.resume_step);
  assign->set_memory_bytes(worker.info.memory_bytes() == 0 ? 0 : run.memory_bytes);
}

void StopWithCheckpoint(State& state, Time now, Run& run, StopCause cause, const std::string& why,
                        Effects& effects) {
  if (run.stop != StopCause::kNone) return;
  run.stop = cause;
  run.stop_deadline = now + state.policy.stop_patience;
  Note(run, absl::StrCat("told to stop with a checkpoint: ", why), effects);
  SendStopWithCheckpoint(state, run, effects);
}

void SendStopWithCheckpoint(State& state, const Run& run, Effects& effects) {
  Worker& worker = state.workers.at(run.worker);
  // Without a session it will be told when it says hello.
  if (worker.session == 0) return;
  SendStop(worker, run.last_attempt(), CauseText(run.stop), /*checkpoint=*/true, effects);
}

void ReleaseAttempt(State& state, Time now, Run& run, const std::string& how, Effects& effects) {
  const std::string why = absl::StrCat(how, ": ", CauseText(run.stop));
  CloseAttempt(state, run, {{}, Outcome::kReleased, v1::BLAME_CONTROL_PLANE, why, ""}, effects);
  Note(run, absl::StrCat(why, "; goes on from step ", run.resume_step), effects);
  run.not_before = now;
  Requeue(state, now, run, effects);
}

void SetPaused(State& state, Run& run, bool paused, Effects& effects) {
  if (std::exchange(run.paused, paused) == paused) return;
  state.sweeps.at(run.sweep).paused += paused ? 1 : -1;
  effects.changes.emplace_back(RunPaused{run.id, paused});
}

void ClearFaults(Worker& worker, Effects& effects) {
  if (std::exchange(worker.faults, 0) == 0) return;
  effects.changes.emplace_back(WorkerFaults{WorkerId(worker.info.id()), 0, absl::ZeroDuration()});
}

void KillAttempt(State& state, Worker& worker, const Run& run, Effects& effects) {
  // Without a session it will be told when it says hello.
  RefuseAttempt(state, worker.session, run.last_attempt(), effects);
}

bool KeepRoom(State& state, Worker& worker, const AttemptId& attempt, int64_t stop) {
  const Run* run = FindRun(state, attempt.run);
  const int64_t bytes = run == nullptr ? 0 : run->memory_bytes;
  if (!worker.stopping.emplace(attempt, Stopping{bytes, stop}).second) return false;
  worker.reserved_bytes += bytes;
  return true;
}

void SendStop(Worker& worker, const AttemptId& attempt, const std::string& reason, bool checkpoint,
              Effects& effects) {
  Outgoing& out = effects.messages.emplace_back();
  out.session = worker.session;
  v1::Stop* stop = out.message.mutable_stop();
  *stop->mutable_attempt() = ToProto(attempt);
  stop->set_reason(reason);
  stop->set_checkpoint(checkpoint);
  stop->set_number(++worker.stops);
}

void CloseAttempt(State& state, Run& run, AttemptOver over, Effects& effects) {
  Worker& worker = state.workers.at(run.worker);
  QSWEEP_CHECK(worker.running.erase(run.id) == 1);
  worker.reserved_bytes -= run.memory_bytes;
  run.stop = StopCause::kNone;
  if (run.step > run.furthest_step) {
    run.furthest_step = run.step;
    run.machine_faults = 0;
  }
  over.attempt = run.last_attempt();
  effects.changes.emplace_back(std::move(over));
}

void Reopen(State& state, Time now, Run& run, Effects& effects) {
  Move(state, run, {v1::RUN_STATE_PENDING}, run.not_before - now, effects);
}

void Requeue(State& state, Time now, Run& run, Effects& effects) {
  Reopen(state, now, run, effects);
  AwaitWeights(state, now, run, effects);  // they may have been lost meanwhile
}

void EndRun(State& state, Time now, Run& run, Ending ending, Effects& effects) {
  Move(state, run, ending, absl::ZeroDuration(), effects);
  SettleCell(state, now, run, ending, effects);
}

void FailAttempt(State& state, Time now, Run& run, v1::Blame blame, const std::string& error,
                 const std::string& log_tail, Effects& effects) {
  const Policy& policy = state.policy;
  const WorkerId worker = run.worker;
  CloseAttempt(state, run, {{}, Outcome::kFailed, blame, error, log_tail}, effects);
  Note(run, absl::StrCat("failed: ", error), effects);
  const auto fail = [&](v1::Blame whom, std::string why) {
    EndRun(state, now, run, {v1::RUN_STATE_FAILED, whom, std::move(why)}, effects);
  };
  run.not_before = now;
  run.last_error = error;
  switch (blame) {
    case v1::BLAME_CONFIG:  // it would fail the same way again
      return fail(blame, error);
    case v1::BLAME_RESOURCES:
      if (++run.resource_failures >= policy.max_resource_failures) {
        return fail(blame, absl::StrCat(error, " (", run.resource_failures, " times)"));
      }
      run.avoided.insert(worker);
      run.exhausted_bytes = std::max(run.exhausted_bytes, run.memory_bytes);
      break;
    case v1::BLAME_CONTROL_PLANE:
      run.not_before = now + policy.first_backoff;  // whatever the reason is, not in a tight circle
      break;
    default:  // the machine
      CountFault(state, now, worker, run.resume_step > run.first_step, effects);
      if (++run.machine_faults >= policy.max_machine_faults) {
        return fail(v1::BLAME_MACHINE, absl::StrCat(error, " (", run.machine_faults,
                                                    " faults in a row without getting further)"));
      }
      run.avoided.insert(worker);
      run.not_before =
          now + Doubling(policy.first_backoff, policy.longest_backoff, run.machine_faults - 1);
      break;
  }
  Requeue(state, now, run, effects);
}

}  // namespace qsweep::core
