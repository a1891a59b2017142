// What a decision asks of the world: first everything in `changes` is stored, in order and in one
// transaction; then, and only then, the messages are sent.
#ifndef QSWEEP_SCHEDULER_CORE_EFFECTS_H_
#define QSWEEP_SCHEDULER_CORE_EFFECTS_H_

#include <cstdint>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/sweep.pb.h"
#include "qsweep/v1/worker.pb.h"
#include "scheduler/core/state.h"

namespace qsweep::core {

// The run goes from pending to running.
struct AttemptStarted {
  AttemptId attempt;
  WorkerId worker;
  int64_t resume_step = 0;
  int64_t memory_bytes = 0;
};

enum class Outcome { kSucceeded, kFailed, kLost, kReleased, kCancelled };

struct AttemptOver {
  AttemptId attempt;
  Outcome outcome = Outcome::kLost;
  v1::Blame blame = v1::BLAME_UNSPECIFIED;
  std::string error;
  std::string log_tail;
};

// Any change of state but pending to running.
struct RunMoved {
  RunId run;
  v1::RunState from = v1::RUN_STATE_UNSPECIFIED;
  v1::RunState to = v1::RUN_STATE_UNSPECIFIED;
  v1::Blame blame = v1::BLAME_UNSPECIFIED;
  std::string error;
  RunId reused;  // the run whose result it takes; 0: none
  int32_t resource_failures = 0;
  int32_t machine_faults = 0;
  absl::Duration delay;        // until it may be tried again
  std::set<WorkerId> avoided;  // as in Run
};

struct RunPaused {
  RunId run;
  bool paused = false;
};

// Faults in a row, and the rest that follows from them.
struct WorkerFaults {
  WorkerId worker;
  int32_t faults = 0;
  absl::Duration rest;
};
struct WorkerDraining {
  WorkerId worker;
  bool draining = false;
  bool moving = false;
};

struct SweepEnded {
  SweepId sweep;
};
struct SweepReopened {
  SweepId sweep;
};

// A line of the run's history.
struct Noted {
  AttemptId attempt;
  std::string text;
};

using Change = std::variant<AttemptStarted, AttemptOver, RunMoved, RunPaused, WorkerFaults,
                            WorkerDraining, SweepEnded, SweepReopened, Noted>;

// An assign names its attempt and resume step only: whoever stores fills in the rest.
struct Outgoing {
  SessionNumber session = 0;
  v1::ToWorker message;
};

struct Closing {
  SessionNumber session = 0;
  bool replaced = false;  // by another session of the same worker
};

struct Effects {
  std::vector<Change> changes;
  std::vector<Outgoing> messages;
  std::vector<Closing> closed;  // streams to end, after their messages
};

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_EFFECTS_H_
