// Everything the scheduler decides from: sweeps, runs, workers, and the indices that keep every
// decision from looking at all runs. Plain data; reactor.h changes it, storage keeps a copy of what
// must survive.
#ifndef QSWEEP_SCHEDULER_CORE_STATE_H_
#define QSWEEP_SCHEDULER_CORE_STATE_H_

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/time/time.h"
#include "common/ids.h"
#include "qsweep/v1/sweep.pb.h"
#include "qsweep/v1/worker.pb.h"

namespace qsweep::core {

// Of the scheduler's monotonic clock; comes in as a parameter, is never asked for.
using Time = absl::Duration;
// One stream of a worker: a new number for every stream, from 1.
using SessionNumber = int64_t;

struct Policy {
  // Since the worker was last heard of.
  absl::Duration lease = absl::Seconds(60);
  // A run that gets no further for so long, though its worker is heard of, hangs. (An evaluation of
  // a large model on a small machine takes half of this.)
  absl::Duration hung_after = absl::Hours(1);
  // A run that was told to stop with a checkpoint and has not is killed: the worker gives the
  // trainer 30 s, then come the last files.
  absl::Duration stop_patience = absl::Minutes(2);
  // A run that was out of memory this often has failed.
  int32_t max_resource_failures = 3;
  // So has one that met this many faults of machines in a row without getting further.
  int32_t max_machine_faults = 10;
  // Before the next attempt after a machine's fault; doubles with each.
  absl::Duration first_backoff = absl::Milliseconds(500);
  absl::Duration longest_backoff = absl::Minutes(1);
  // A worker with this many faults in a row, none of whose attempts got anywhere, rests (doubling,
  // too) and is then given one run at a time until one writes a checkpoint or ends well.
  int32_t quarantine_after = 3;
  absl::Duration first_quarantine = absl::Seconds(5);
  absl::Duration longest_quarantine = absl::Minutes(5);
};

// What a run asks of a machine.
struct Needs {
  std::string model;  // whose trained weights must be there; empty: none
  std::string dataset;
  int64_t memory_bytes = 0;
  friend auto operator<=>(const Needs&, const Needs&) = default;
};

// Why a pending run is not running.
enum class Wait {
  kQueued,   // for a worker with room
  kDelayed,  // for its back-off to end
  kTwin,     // for another run of the same key, to take its result
  kWeights,  // for the run that produces its weights
  kPaused,   // for someone to resume it
};

// Why a running run was told to stop, after a checkpoint.
enum class StopCause { kNone, kPaused, kDrained, kPreempted };

struct Run {
  RunId id;
  SweepId sweep;
  int32_t priority = 0;
  std::string key;
  std::string weights_key;  // of the run that produces its weights; empty: none
  std::string kind;         // runs of one kind predict each other (common/spec/kind.h)
  Needs needs;
  int64_t estimated_bytes = 0;  // what needs.memory_bytes was before anything was measured
  v1::RunState state = v1::RUN_STATE_PENDING;
  AttemptNumber attempt;        // the last one's; 0: none
  int64_t exhausted_bytes = 0;  // the most memory that an attempt had and that was too little
  int32_t resource_failures = 0;
  int32_t machine_faults = 0;  // in a row, without getting further
  int64_t resume_step = 0;     // of the newest checkpoint in the store
  int64_t furthest_step = 0;   // that any ended attempt reached
  std::set<WorkerId> avoided;  // where it failed: others are preferred
  bool paused = false;         // is to wait; while it runs, to stop
  // A file of its result that is damaged or gone since it succeeded; empty: none. Its numbers stay,
  // but it counts no more for its cell.
  std::string lost_product;

  // While pending.
  Wait wait = Wait::kQueued;
  Time not_before;
  std::string last_error;  // of an attempt that failed since the scheduler started
  Time queued_at = -absl::InfiniteDuration();  // for a worker; since then if it is queued

  // While running.
  WorkerId worker;
  uint64_t acked_offset = 0;  // bytes of the attempt's events.log that are stored
  int64_t step = 0;
  int64_t total_steps = 0;
  double images_per_s = 0;
  int64_t memory_bytes = 0;  // that the attempt may use
  StopCause stop = StopCause::kNone;
  Time stop_deadline;      // then it is killed
  int64_t first_step = 0;  // that the attempt went on from
  Time last_progress;

  AttemptId last_attempt() const { return {id, attempt}; }
};

struct Sweep {
  int32_t priority = 0;
  std::vector<RunId> runs;                              // in the order of its cells
  std::array<int32_t, v1::RunState_ARRAYSIZE> count{};  // by state
  int32_t reused = 0;                                   // of the succeeded
  int32_t paused = 0;                                   // of the pending and running
  bool open() const { return count[v1::RUN_STATE_PENDING] + count[v1::RUN_STATE_RUNNING] > 0; }
};

// All runs with one key compute the same, so only one of them does.
struct Cell {
  RunId succeeded;            // whose result counts; 0: none yet
  RunId active;               // pending or running for all of them; 0: none
  std::set<RunId> twins;      // pending, waiting for `active`
  std::set<RunId> consumers;  // pending, waiting for the weights it produces
};

struct Stopping {
  int64_t memory_bytes = 0;
  int64_t stop = 0;  // the Stop.number; 0: the verdict on its hello
};

struct Worker {
  v1::WorkerInfo info;
  SessionNumber session = 0;  // 0: no stream
  Time last_seen;
  Time lease_end;  // of all its attempts
  std::set<RunId> running;
  std::map<AttemptId, Stopping> stopping;  // told to kill and forget, not yet gone
  int64_t stops = 0;                       // that this session was sent
  int64_t reserved_bytes = 0;              // of both
  bool draining = false;                   // gets no more runs
  bool moving = false;                     // and those it has go elsewhere
  int32_t faults = 0;                      // in a row
  Time rests_until;
  double cpu_load = 0;
  int64_t memory_free_bytes = 0;
  int64_t disk_free_bytes = 0;
  std::string refuses;  // why it takes no runs now, by its own word; empty: it does
};

// A sweep's queued runs with equal needs and equal workers to avoid wait in one line: if its head
// cannot be placed, neither can the rest.
struct Line {
  SweepId sweep;
  Needs needs;
  std::set<WorkerId> avoided;
  friend auto operator<=>(const Line&, const Line&) = default;
};
struct Position {
  int32_t priority = 0;
  RunId run;
  // The run to be placed first is the least.
  friend bool operator<(const Position& a, const Position& b) {
    return std::tie(b.priority, a.run) < std::tie(a.priority, b.run);
  }
};

struct State {
  Policy policy;
  std::string hold;  // why no run is placed for now, whatever workers there are; empty: runs are
  std::map<SweepId, Sweep> sweeps;
  absl::node_hash_map<RunId, Run> runs;
  absl::node_hash_map<std::string, Cell> cells;  // by key
  std::map<WorkerId, Worker> workers;
  absl::flat_hash_map<SessionNumber, WorkerId> sessions;
  std::map<Line, std::set<Position>> queue;  // no empty lines
  std::map<Line, std::string> reasons;       // why a line's first run was not placed last time
  std::set<std::pair<Time, RunId>> delayed;
  // By kind: by how much the largest measured peak was above the estimate for its micro-batch.
  absl::flat_hash_map<std::string, int64_t> excess_bytes;
  std::map<std::pair<std::string, WorkerId>, double> rates;  // images/s, by kind and worker
  Time last_tick = absl::ZeroDuration();
  // Before it no lease ends, no run hangs or has had its time to stop, and no worker's rest ends.
  Time next_deadline = -absl::InfiniteDuration();
};

// nullptr: there is none.
Run* FindRun(State& state, RunId id);
const Run* FindRun(const State& state, RunId id);
Worker* FindWorker(State& state, SessionNumber session);
// The fence: the run of this attempt if the attempt is the run's live one and this session is its
// worker's; else nullptr, and whatever was said for the attempt is refused.
Run* FindLive(State& state, SessionNumber session, const AttemptId& attempt);

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_STATE_H_
