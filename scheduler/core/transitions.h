// The steps that the decisions in runs.cc, workers.cc and placement.cc are made of. Each keeps all
// of State consistent and tells the effects.
#ifndef QSWEEP_SCHEDULER_CORE_TRANSITIONS_H_
#define QSWEEP_SCHEDULER_CORE_TRANSITIONS_H_

#include <string>

#include "scheduler/core/effects.h"
#include "scheduler/core/state.h"

namespace qsweep::core {

void Note(const Run& run, std::string text, Effects& effects);
// As in "stopped: ...".
const char* CauseText(StopCause cause);

// A pending run that waits for nothing yet: takes a result, waits, or is queued.
void Admit(State& state, Time now, Run& run, Effects& effects);
// The same for the run that computes for its whole cell: waits for its weights or is queued.
void AwaitWeights(State& state, Time now, Run& run, Effects& effects);
// A pending run stops waiting for whatever it waits for.
void Withdraw(State& state, Run& run);
// Pending, queued (or delayed until not_before).
void Enqueue(State& state, Time now, Run& run);

// From pending to running, on a worker that has room.
void StartAttempt(State& state, Time now, Run& run, Worker& worker, Effects& effects);
// Tells the worker of a running run to let it write a checkpoint and stop; unless it was told.
// `why` goes into the history.
void StopWithCheckpoint(State& state, Time now, Run& run, StopCause cause, const std::string& why,
                        Effects& effects);
void SendStopWithCheckpoint(State& state, const Run& run, Effects& effects);
// The live attempt has stopped as it was told, or is killed for not doing so: its run waits again.
void ReleaseAttempt(State& state, Time now, Run& run, const std::string& how, Effects& effects);
void SetPaused(State& state, Run& run, bool paused, Effects& effects);
// The worker has computed something that lasts: it is well.
void ClearFaults(Worker& worker, Effects& effects);
// Tells the worker to kill the run's last attempt, whose room stays taken until it is gone.
void KillAttempt(State& state, Worker& worker, const Run& run, Effects& effects);
// Counts the attempt's memory and slot until the worker says that it is gone; false if they are.
bool KeepRoom(State& state, Worker& worker, const AttemptId& attempt, int64_t stop);
void SendStop(Worker& worker, const AttemptId& attempt, const std::string& reason, bool checkpoint,
              Effects& effects);
// The live attempt is over and its worker has room again; the run is left without a live attempt
// and must be moved on at once.
void CloseAttempt(State& state, Run& run, AttemptOver over, Effects& effects);
// From running (closed) or an end to pending, waiting for nothing yet.
void Reopen(State& state, Time now, Run& run, Effects& effects);
// From running (closed) back to the queue, if its weights are still there.
void Requeue(State& state, Time now, Run& run, Effects& effects);

// From pending (withdrawn) or running (closed) to the end, and what follows for runs that wait for
// it.
struct Ending {
  v1::RunState state = v1::RUN_STATE_UNSPECIFIED;
  v1::Blame blame = v1::BLAME_UNSPECIFIED;
  std::string error;
  RunId reused;
};
void EndRun(State& state, Time now, Run& run, Ending ending, Effects& effects);

// The live attempt failed: who is to blame decides what becomes of the run.
void FailAttempt(State& state, Time now, Run& run, v1::Blame blame, const std::string& error,
                 const std::string& log_tail, Effects& effects);

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_TRANSITIONS_H_
