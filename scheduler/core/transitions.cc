#include "scheduler/core/transitions.h"

#include <algorithm>

#include "common/status.h"
#include "scheduler/core/reactor.h"

namespace qsweep::core {
namespace {

Position PositionOf(const Run& run) { return {-run.priority, run.id}; }

// Counts and announces a change of state.
void Move(State& state, Run& run, const Ending& to, Effects& effects) {
  Sweep& sweep = state.sweeps.at(run.sweep);
  const bool was_open = sweep.open();
  const v1::RunState from = run.state;
  --sweep.count[from];
  ++sweep.count[to.state];
  run.state = to.state;
  if (to.reused != RunId()) ++sweep.reused;
  effects.changes.emplace_back(RunMoved{run.id, from, to.state, to.blame, to.error, to.reused,
                                        run.resource_failures, run.machine_faults});
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

void CountFault(State& state, Time now, const WorkerId& id, bool got_somewhere) {
  Worker& worker = state.workers.at(id);
  worker.faults = got_somewhere ? 0 : worker.faults + 1;
  const Policy& policy = state.policy;
  if (worker.faults < policy.quarantine_after) return;
  worker.rests_until = now + Doubling(policy.first_quarantine, policy.longest_quarantine,
                                      worker.faults - policy.quarantine_after);
}

}  // namespace

void Note(const Run& run, std::string text, Effects& effects) {
  effects.changes.emplace_back(Noted{run.last_attempt(), std::move(text)});
}

void Admit(State& state, Time now, Run& run, Effects& effects) {
  Cell& cell = state.cells[run.key];
  if (cell.succeeded != RunId()) {
    Note(run, absl::StrCat("takes the result of run ", cell.succeeded.value()), effects);
    EndRun(state, now, run, {v1::RUN_STATE_SUCCEEDED, v1::BLAME_UNSPECIFIED, "", cell.succeeded},
           effects);
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
          "model.weights: the run that produces them failed or was cancelled; retry that one, then "
          "this one",
          RunId()},
         effects);
}

void Enqueue(State& state, Time now, Run& run) {
  if (run.not_before > now) {
    run.wait = Wait::kDelayed;
    state.delayed.emplace(run.not_before, run.id);
    return;
  }
  run.wait = Wait::kQueued;
  state.queue[{run.needs, run.avoided}].insert(PositionOf(run));
}

void Withdraw(State& state, Run& run) {
  switch (run.wait) {
    case Wait::kQueued: {
      const auto line = state.queue.find({run.needs, run.avoided});
      QSWEEP_CHECK(line != state.queue.end() && line->second.erase(PositionOf(run)) == 1);
      if (line->second.empty()) state.queue.erase(line);
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
  }
}

void StartAttempt(State& state, Time now, Run& run, Worker& worker, Effects& effects) {
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
  worker.reserved_bytes += run.needs.memory_bytes;
  effects.changes.emplace_back(AttemptStarted{run.last_attempt(), run.worker, run.resume_step});
  Note(run,
       run.resume_step == 0
           ? absl::StrCat("assigned to ", worker.info.name())
           : absl::StrCat("assigned to ", worker.info.name(), ", from step ", run.resume_step),
       effects);
  Outgoing& out = effects.messages.emplace_back();
  out.session = worker.session;
  v1::Assign* assign = out.message.mutable_assign();
  assign->mutable_attempt()->set_run_id(run.id.value());
  assign->mutable_attempt()->set_number(run.attempt.value());
  assign->set_resume_step(run.resume_step);
}

void KillAttempt(Worker& worker, const Run& run, Effects& effects) {
  if (worker.session == 0) return;  // it will be told when it says hello
  worker.stopping.emplace(run.last_attempt(), run.needs.memory_bytes);
  worker.reserved_bytes += run.needs.memory_bytes;
  RefuseAttempt(worker.session, run.last_attempt(), effects);
}

void CloseAttempt(State& state, Run& run, AttemptOver over, Effects& effects) {
  Worker& worker = state.workers.at(run.worker);
  QSWEEP_CHECK(worker.running.erase(run.id) == 1);
  worker.reserved_bytes -= run.needs.memory_bytes;
  if (run.step > run.furthest_step) {
    run.furthest_step = run.step;
    run.machine_faults = 0;
  }
  over.attempt = run.last_attempt();
  effects.changes.emplace_back(std::move(over));
}

void Reopen(State& state, Run& run, Effects& effects) {
  Move(state, run, {v1::RUN_STATE_PENDING, v1::BLAME_UNSPECIFIED, "", RunId()}, effects);
}

void Requeue(State& state, Time now, Run& run, Effects& effects) {
  Reopen(state, run, effects);
  Enqueue(state, now, run);
}

void EndRun(State& state, Time now, Run& run, Ending ending, Effects& effects) {
  Move(state, run, ending, effects);
  SettleCell(state, now, run, ending, effects);
}

void FailAttempt(State& state, Time now, Run& run, v1::Blame blame, const std::string& error,
                 const std::string& log_tail, Effects& effects) {
  const Policy& policy = state.policy;
  const WorkerId worker = run.worker;
  CloseAttempt(state, run, {{}, Outcome::kFailed, blame, error, log_tail}, effects);
  Note(run, absl::StrCat("failed: ", error), effects);
  const auto fail = [&](v1::Blame whom, std::string why) {
    EndRun(state, now, run, {v1::RUN_STATE_FAILED, whom, std::move(why), RunId()}, effects);
  };
  run.not_before = now;
  switch (blame) {
    case v1::BLAME_CONFIG:  // it would fail the same way again
      return fail(blame, error);
    case v1::BLAME_RESOURCES:
      if (++run.resource_failures >= policy.max_resource_failures) {
        return fail(blame, absl::StrCat(error, " (", run.resource_failures, " times)"));
      }
      run.avoided.insert(worker);
      break;
    case v1::BLAME_CONTROL_PLANE:
      run.not_before = now + policy.first_backoff;  // whatever the reason is, not in a tight circle
      break;
    default:  // the machine
      CountFault(state, now, worker, run.resume_step > run.first_step);
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
