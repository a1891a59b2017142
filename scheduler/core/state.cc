#include "scheduler/core/state.h"

namespace qsweep::core {

Run* FindRun(State& state, RunId id) {
  const auto it = state.runs.find(id);
  return it == state.runs.end() ? nullptr : &it->second;
}

const Run* FindRun(const State& state, RunId id) {
  const auto it = state.runs.find(id);
  return it == state.runs.end() ? nullptr : &it->second;
}

Worker* FindWorker(State& state, SessionNumber session) {
  const auto it = state.sessions.find(session);
  return it == state.sessions.end() ? nullptr : &state.workers.at(it->second);
}

Run* FindLive(State& state, SessionNumber session, const AttemptId& attempt) {
  Run* run = FindRun(state, attempt.run);
  const auto worker = state.sessions.find(session);
  if (run == nullptr || run->state != v1::RUN_STATE_RUNNING || run->attempt != attempt.number ||
      worker == state.sessions.end() || worker->second != run->worker) {
    return nullptr;
  }
  return run;
}

}  // namespace qsweep::core
