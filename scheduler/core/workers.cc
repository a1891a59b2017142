#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "common/attempt_id.h"
#include "common/status.h"
#include "scheduler/core/placement.h"
#include "scheduler/core/reactor.h"
#include "scheduler/core/transitions.h"

namespace qsweep::core {
namespace {

// All its live attempts are over, through no fault of anyone's, and their runs queued again.
void TakeRuns(State& state, Time now, Worker& worker, Outcome outcome, const std::string& why,
              const absl::flat_hash_set<AttemptId>& keep, Effects& effects) {
  const std::set<RunId> running = worker.running;
  for (const RunId id : running) {
    Run& run = state.runs.at(id);
    if (keep.contains(run.last_attempt())) continue;
    CloseAttempt(state, run, {{}, outcome, v1::BLAME_CONTROL_PLANE, why, ""}, effects);
    Note(run, absl::StrCat(worker.info.name(), ": ", why), effects);
    run.not_before = now;
    Requeue(state, now, run, effects);
  }
}

void Advance(Run& run, Time now, int64_t step, int64_t total_steps) {
  if (step > run.step) run.last_progress = now;
  run.step = std::max(run.step, step);
  run.total_steps = std::max(run.total_steps, total_steps);
}

void ForgetStopping(Worker& worker, const AttemptId& attempt) {
  const auto it = worker.stopping.find(attempt);
  if (it == worker.stopping.end()) return;
  worker.reserved_bytes -= it->second.memory_bytes;
  worker.stopping.erase(it);
}

void CloseSession(State& state, Worker& worker, Effects& effects, bool replaced = false) {
  if (worker.session == 0) return;
  effects.closed.push_back({worker.session, replaced});
  state.sessions.erase(worker.session);
  worker.session = 0;
}

void ExpireLeases(State& state, Time now, Effects& effects) {
  for (auto& [id, worker] : state.workers) {
    if (worker.lease_end > now || (worker.session == 0 && worker.running.empty())) continue;
    // A stream that is open and silent for so long is dead, too.
    CloseSession(state, worker, effects);
    TakeRuns(state, now, worker, Outcome::kLost, "not heard of for the time of a lease", {},
             effects);
  }
}

// Without a session nothing is heard of its runs, which says nothing against them.
void StopHung(State& state, Time now, Effects& effects) {
  for (auto& [id, worker] : state.workers) {
    if (worker.session == 0) continue;
    const std::set<RunId> running = worker.running;
    for (const RunId run_id : running) {
      Run& run = state.runs.at(run_id);
      if (run.stop != StopCause::kNone && run.stop_deadline <= now) {
        KillAttempt(state, worker, run, effects);
        ReleaseAttempt(state, now, run, "killed, for it did not stop in time", effects);
        continue;
      }
      if (now - run.last_progress < state.policy.hung_after) continue;
      KillAttempt(state, worker, run, effects);
      FailAttempt(state, now, run, v1::BLAME_MACHINE,
                  absl::StrCat("hung: no step for ", absl::FormatDuration(state.policy.hung_after)),
                  "", effects);
    }
  }
}

// Deadlines that are set later are at least the shortest of the policy's times away, or lower it
// themselves.
Time NextDeadline(const State& state, Time now) {
  const Policy& policy = state.policy;
  Time next = now + std::min({policy.lease, policy.stop_patience, policy.hung_after});
  for (const auto& [id, worker] : state.workers) {
    if (worker.session != 0 || !worker.running.empty()) next = std::min(next, worker.lease_end);
    if (worker.rests_until > now) next = std::min(next, worker.rests_until);
    if (worker.session == 0) continue;  // of its runs none is killed before it says hello
    for (const RunId run_id : worker.running) {
      const Run& run = state.runs.at(run_id);
      next = std::min(next, run.last_progress + policy.hung_after);
      if (run.stop != StopCause::kNone) next = std::min(next, run.stop_deadline);
    }
  }
  return next;
}

void EndDelays(State& state, Time now) {
  while (!state.delayed.empty() && state.delayed.begin()->first <= now) {
    Run& run = state.runs.at(state.delayed.begin()->second);
    state.delayed.erase(state.delayed.begin());
    Enqueue(state, now, run);
  }
}

}  // namespace

void OnHello(State& state, Time now, SessionNumber session, const v1::Hello& hello,
             int64_t heartbeat_ms, Effects& effects) {
  Worker& worker = state.workers[WorkerId(hello.info().id())];
  CloseSession(state, worker, effects, /*replaced=*/true);
  worker.info = hello.info();
  worker.session = session;
  state.next_deadline = now;  // the runs that it holds can be late again
  const absl::Duration away = now - worker.last_seen;
  state.sessions[session] = WorkerId(hello.info().id());
  OnContact(state, now, session);
  while (!worker.stopping.empty()) ForgetStopping(worker, worker.stopping.begin()->first);
  worker.stops = 0;

  Outgoing& out = effects.messages.emplace_back();
  out.session = session;
  v1::Welcome* welcome = out.message.mutable_welcome();
  welcome->set_heartbeat_ms(heartbeat_ms);
  absl::flat_hash_set<AttemptId> kept;
  std::vector<const Run*> again;  // to be told to stop, in case the first time was not heard
  for (const v1::HeldAttempt& held : hello.held()) {
    v1::HeldVerdict* verdict = welcome->add_verdicts();
    *verdict->mutable_attempt() = held.attempt();
    Run* run = FindLive(state, session, FromProto(held.attempt()));
    if (run == nullptr) {
      KeepRoom(state, worker, FromProto(held.attempt()), /*stop=*/0);
      continue;
    }
    run->last_progress = std::min(run->last_progress + away, now);
    verdict->set_keep(true);
    verdict->set_acked_offset(run->acked_offset);
    if (run->stop != StopCause::kNone) {
      run->stop_deadline = now + state.policy.stop_patience;
      again.push_back(run);
    }
    kept.insert(run->last_attempt());
  }
  for (const Run* run : again) SendStopWithCheckpoint(state, *run, effects);
  TakeRuns(state, now, worker, Outcome::kLost, "does not have the attempt any more", kept, effects);
}

void OnContact(State& state, Time now, SessionNumber session) {
  Worker* worker = FindWorker(state, session);
  if (worker == nullptr) return;
  worker->last_seen = now;
  worker->lease_end = now + state.policy.lease;
}

void OnHeartbeat(State& state, Time now, SessionNumber session, const v1::Heartbeat& heartbeat,
                 Effects& effects) {
  OnContact(state, now, session);
  Worker* worker = FindWorker(state, session);
  if (worker == nullptr) return;
  worker->cpu_load = KnownRate(heartbeat.cpu_load());
  worker->memory_free_bytes = heartbeat.memory_free_bytes();
  worker->disk_free_bytes = heartbeat.disk_free_bytes();
  worker->refuses = heartbeat.refuses();
  absl::flat_hash_set<AttemptId> there;
  for (const v1::AttemptProgress& progress : heartbeat.attempts()) {
    const AttemptId id = FromProto(progress.attempt());
    there.insert(id);
    Run* run = FindLive(state, session, id);
    if (run == nullptr) {
      RefuseAttempt(state, session, id, effects);
      continue;
    }
    Advance(*run, now, progress.step(), progress.total_steps());
    run->images_per_s = KnownRate(progress.images_per_s());
  }
  const std::map<AttemptId, Stopping> stopping = worker->stopping;
  for (const auto& [id, told] : stopping) {
    // One sent before the stop arrived says nothing: the assignment may not have come either.
    if (!there.contains(id) && told.stop <= heartbeat.stops_seen()) ForgetStopping(*worker, id);
  }
}

void OnEvents(Run& run, Time now, uint64_t end_offset, int64_t step, int64_t total_steps) {
  run.acked_offset = end_offset;
  run.last_progress = now;  // whatever it says, it says something
  Advance(run, now, step, total_steps);
}

void OnUploadPutOff(State& state, Time now, RunId id) {
  Run& run = state.runs.at(id);
  run.last_progress = now;
  run.stop_deadline = now + state.policy.stop_patience;
}

void OnCheckpoint(State& state, Run& run, int64_t step, Effects& effects) {
  if (step <= run.resume_step) return;
  run.resume_step = step;
  ClearFaults(state.workers.at(run.worker), effects);
}

void OnCheckpointLost(Run& run, int64_t step, Effects& effects) {
  Note(run,
       absl::StrCat("its checkpoint of step ", run.resume_step,
                    " cannot be read; goes on from step ", step),
       effects);
  run.resume_step = step;
}

void OnAttemptEnded(State& state, Time now, SessionNumber session, const v1::AttemptEnded& ended,
                    bool has_result, Effects& effects) {
  OnContact(state, now, session);
  const AttemptId id = FromProto(ended.attempt());
  if (Worker* worker = FindWorker(state, session)) ForgetStopping(*worker, id);
  Outgoing& out = effects.messages.emplace_back();
  out.session = session;
  *out.message.mutable_ended_ack()->mutable_attempt() = ended.attempt();

  Run* run = FindLive(state, session, id);
  if (run == nullptr) return;
  if (!ended.succeeded() && run->stop != StopCause::kNone &&
      ended.blame() == v1::BLAME_CONTROL_PLANE) {
    ReleaseAttempt(state, now, *run, "stopped", effects);
    return;
  }
  if (!ended.succeeded()) {
    FailAttempt(state, now, *run, ended.blame(), ended.error(), ended.log_tail(), effects);
    return;
  }
  if (!has_result) {
    FailAttempt(state, now, *run, v1::BLAME_MACHINE,
                "ended well, but its result or one of its files did not arrive", ended.log_tail(),
                effects);
    return;
  }
  ClearFaults(state.workers.at(run->worker), effects);
  CloseAttempt(state, *run, {{}, Outcome::kSucceeded}, effects);
  Note(*run, "succeeded", effects);
  EndRun(state, now, *run, {v1::RUN_STATE_SUCCEEDED}, effects);
}

void RefuseAttempt(State& state, SessionNumber session, const AttemptId& attempt,
                   Effects& effects) {
  Worker* worker = FindWorker(state, session);
  if (worker == nullptr || !KeepRoom(state, *worker, attempt, worker->stops + 1)) return;
  SendStop(*worker, attempt, "cancelled, or given to another worker", /*checkpoint=*/false,
           effects);
}

void OnGoodbye(State& state, Time now, SessionNumber session, const std::string& reason,
               Effects& effects) {
  Worker* worker = FindWorker(state, session);
  if (worker == nullptr) return;
  TakeRuns(state, now, *worker, Outcome::kReleased, absl::StrCat("leaves: ", reason), {}, effects);
  CloseSession(state, *worker, effects);
  worker->last_seen = worker->lease_end = now;
}

void OnDrain(State& state, Time now, const WorkerId& id, bool move_runs, Effects& effects) {
  Worker& worker = state.workers.at(id);
  if (!worker.draining || (move_runs && !worker.moving)) {
    worker.draining = true;
    worker.moving |= move_runs;
    effects.changes.emplace_back(WorkerDraining{id, true, worker.moving});
  }
  if (!move_runs) return;
  for (const RunId run : worker.running) {
    StopWithCheckpoint(state, now, state.runs.at(run), StopCause::kDrained,
                       absl::StrCat(worker.info.name(), " is draining"), effects);
  }
}

void OnUndrain(State& state, const WorkerId& id, Effects& effects) {
  Worker& worker = state.workers.at(id);
  worker.moving = false;
  if (!std::exchange(worker.draining, false)) return;
  effects.changes.emplace_back(WorkerDraining{id, false, false});
}

void OnDisconnect(State& state, SessionNumber session) {
  Worker* worker = FindWorker(state, session);
  if (worker == nullptr) return;  // closed from here, or replaced by a newer one
  worker->session = 0;
  state.sessions.erase(session);
}

void OnTick(State& state, Time now, Effects& effects) {
  const absl::Duration gap = now - state.last_tick;
  if (gap > state.policy.lease / 3) {
    for (auto& [worker_id, worker] : state.workers) {
      worker.lease_end = std::min(worker.lease_end + gap, now + state.policy.lease);
      for (const RunId id : worker.running) {
        Run& run = state.runs.at(id);
        run.last_progress = std::min(run.last_progress + gap, now);
        run.stop_deadline += gap;
      }
    }
  }
  state.last_tick = now;
  if (state.next_deadline <= now) {
    ExpireLeases(state, now, effects);
    StopHung(state, now, effects);
    state.next_deadline = NextDeadline(state, now);
  }
  EndDelays(state, now);
  Place(state, now, effects);
}

Time NextTick(const State& state) {
  Time next = state.last_tick + state.policy.lease / 6;  // or its own standstill would go unnoticed
  next = std::min(next, state.next_deadline);
  if (!state.delayed.empty()) next = std::min(next, state.delayed.begin()->first);
  return next;
}

}  // namespace qsweep::core
