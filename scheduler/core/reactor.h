// The scheduler's decisions: what happens to the state when something happens to the scheduler.
// Free functions over State: no I/O, no clock, no lock. Whatever follows for the world is appended
// to `effects`.
//
// Every function costs the same however many runs there are, apart from those that are about many
// runs. Placement happens in OnTick alone, once after each batch of events.
#ifndef QSWEEP_SCHEDULER_CORE_REACTOR_H_
#define QSWEEP_SCHEDULER_CORE_REACTOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/ids.h"
#include "qsweep/v1/worker.pb.h"
#include "scheduler/core/effects.h"
#include "scheduler/core/state.h"

namespace qsweep::core {

// --- Runs (runs.cc)

// A stored sweep's pending runs, in the order of its cells, with ids, key and needs set. A run
// whose key has a result takes it; one whose key is being computed waits for it.
void OnSubmit(State& state, Time now, SweepId id, int32_t priority, std::vector<Run> runs,
              Effects& effects);
// Ends those of the runs (in the order of their ids) that are pending or running; returns how many.
// Their workers are told to kill and forget them.
int32_t OnCancel(State& state, Time now, const std::vector<RunId>& runs, Effects& effects);
// Makes those of the runs (in the order of their ids) that failed, were cancelled or have lost a
// product pending again, with clean counts; returns how many. They go on from their last
// checkpoint.
int32_t OnRetry(State& state, Time now, const std::vector<RunId>& runs, Effects& effects);

// A file of the run's result cannot be had any more. Whoever needs the result has it computed anew,
// and those that were to begin with its weights wait for that, or fail.
void OnProductLost(State& state, Time now, RunId id, const std::string& name, Effects& effects);

// Has those of the runs that have not ended wait until they are resumed; those that run write a
// checkpoint first. Returns how many were not paused before.
int32_t OnPause(State& state, Time now, const std::vector<RunId>& runs, Effects& effects);
int32_t OnResume(State& state, Time now, const std::vector<RunId>& runs, Effects& effects);

// --- Workers and their attempts (workers.cc)

// Answers with a welcome. Held attempts that are live and this worker's are kept, with their acked
// offset; live ones of this worker that it does not hold are lost. An older session of the same
// worker is closed.
void OnHello(State& state, Time now, SessionNumber session, const v1::Hello& hello,
             int64_t heartbeat_ms, Effects& effects);
void OnHeartbeat(State& state, Time now, SessionNumber session, const v1::Heartbeat& heartbeat,
                 Effects& effects);
// For any message: the worker lives, its leases begin anew.
void OnContact(State& state, Time now, SessionNumber session);
// A live attempt's events up to `end_offset` are being stored; `step` is the last in them,
// `total_steps` what they say it will come to; 0 if they do not.
void OnEvents(Run& run, Time now, uint64_t end_offset, int64_t step, int64_t total_steps);
// The scheduler has no room for a file of the live attempt, which may have nothing else to say:
// that is not the attempt's fault, nor its machine's.
void OnUploadPutOff(State& state, Time now, RunId run);
// Its checkpoint is in the store: any machine can go on from there.
void OnCheckpoint(State& state, Run& run, int64_t step, Effects& effects);
// Its newest checkpoint cannot be read any more: the next attempt goes on from the one before, of
// this step, or from the start (0).
void OnCheckpointLost(Run& run, int64_t step, Effects& effects);
// `has_result`: the attempt's result and all its files are stored. Acknowledged in any case;
// without effect unless the attempt is live.
void OnAttemptEnded(State& state, Time now, SessionNumber session, const v1::AttemptEnded& ended,
                    bool has_result, Effects& effects);
// For an attempt that is not live any more: its worker is told to kill and forget it, once. Its
// room stays taken until it is gone.
void RefuseAttempt(State& state, SessionNumber session, const AttemptId& attempt, Effects& effects);
// The worker has stopped its attempts: their runs go elsewhere at once.
void OnGoodbye(State& state, Time now, SessionNumber session, const std::string& reason,
               Effects& effects);
// The worker gets no more runs, until it is undrained; `move_runs`: those it has write a checkpoint
// and go elsewhere.
void OnDrain(State& state, Time now, const WorkerId& id, bool move_runs, Effects& effects);
void OnUndrain(State& state, const WorkerId& id, Effects& effects);
// The stream broke. The leases go on.
void OnDisconnect(State& state, SessionNumber session);

// --- Learning (learning.cc)

// A finished run of this kind had a peak of `excess_bytes` above the estimate (below: negative) and
// trained at this rate. Queued runs of the kind are placed by it from now on.
void OnMeasured(State& state, Time now, const std::string& kind, const WorkerId& worker,
                int64_t excess_bytes, double images_per_s);
// A rate as a worker says it, or as it follows from that: 0, none, in place of what cannot be one.
double KnownRate(double said);
// What a run with this estimate needs, by all that was measured.
int64_t PredictBytes(const State& state, const std::string& kind, int64_t estimated_bytes);
// The same for this run; where memory was too little for it, a quarter more than that, as far as
// there is a machine that has it.
int64_t NeededBytes(const State& state, const Run& run);

// --- Time (workers.cc)

// Ends leases that ran out, stops runs that hang, ends back-offs, places runs. Time in which the
// scheduler itself stood still (no tick for a third of a lease) is added to every lease.
void OnTick(State& state, Time now, Effects& effects);
// When the next tick must come, if nothing happens before: a sixth of a lease after the last at the
// latest.
Time NextTick(const State& state);

// --- Recovery (runs.cc): workers first, then sweeps, then runs in the order of their ids, then
// StartAfterRecovery.

// Not connected; its leases have all their time.
Worker& RestoreWorker(State& state, Time now, const v1::WorkerInfo& info, Time last_seen);
void AddSweep(State& state, SweepId id, int32_t priority);
// `reused`: succeeded with another run's result.
void AddRun(State& state, Run run, bool reused);
void StartAfterRecovery(State& state, Time now, Effects& effects);

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_REACTOR_H_
