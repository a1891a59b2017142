// What to do next for an attempt, and how an attempt ended: pure functions of the facts.
#ifndef QSWEEP_WORKER_AGENT_DECISION_H_
#define QSWEEP_WORKER_AGENT_DECISION_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/subprocess.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/worker.pb.h"

namespace qsweep {

// How long a trainer may take for its last checkpoint.
inline constexpr absl::Duration kStopGrace = absl::Seconds(30);

// An attempt goes through these in order; it may skip kRunning.
enum class Phase {
  kPreparing,  // its files are still on their way
  kReady,      // waits for a slot
  kRunning,    // the trainer is alive
  kEnded,      // it is not, or never was; how it ended is known
};

enum class StopWish {
  kNone,
  kCheckpoint,  // let the trainer write one
  kDiscard,     // kill it and forget the attempt
};

struct AttemptFacts {
  Phase phase = Phase::kPreparing;
  StopWish stop = StopWish::kNone;
  bool terminated = false;  // SIGTERM was sent by this agent
  absl::Duration since_terminated;
  bool killed = false;  // SIGKILL was sent by this agent
  bool slot_free = false;
  bool attached = false;          // a session is open whose scheduler keeps the attempt
  bool log_sent = false;          // every whole record
  bool log_acknowledged = false;  // all that was sent
  bool end_sent = false;          // in this session
  bool end_acknowledged = false;
};

enum class Step {
  kWait,
  kStart,
  kTerminate,   // SIGTERM
  kKill,        // SIGKILL
  kGiveUp,      // ends without ever having started
  kSendEvents,  // what there is, as far as window and uploads let it
  kSendEnd,
  kDelete,
};

Step NextStep(const AttemptFacts& facts);

// What is known of an attempt whose trainer is gone, or never was.
struct Evidence {
  std::optional<v1::Event> last_word;      // the Finished or Failed of its log
  std::optional<ExitStatus> exit;          // unknown when another agent was its parent
  std::optional<std::string> stop_reason;  // it was told to stop
  std::string start_error;                 // why it could not be started
  bool input_refused = false;              // because the scheduler does not give what it named
  bool out_of_memory_kill = false;         // the kernel killed for memory while it ran
  bool disk_full = false;
};

// The end to report; attempt and log_tail are left to the caller.
v1::AttemptEnded Judge(const Evidence& evidence);

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_DECISION_H_
