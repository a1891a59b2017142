// The scheduler's one thread: it drains its inbox into rounds (rounds.h). A commit that fails ends
// the loop, and with it the process: what is on disk is whole, and the next start recovers from it.
#ifndef QSWEEP_SCHEDULER_LOOP_H_
#define QSWEEP_SCHEDULER_LOOP_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "common/clock.h"
#include "scheduler/artifact_store.h"
#include "scheduler/core/state.h"
#include "scheduler/rounds.h"

namespace qsweep {

class Loop {
 public:
  // Everything given outlives the loop. `state` is as restored; it is resumed first of all.
  Loop(storage::Database& database, ArtifactStore& artifacts, const Clock& clock, core::State state,
       int64_t heartbeat_ms);
  ~Loop();

  // Thread-safe. Work given after Stop is dropped.
  void Post(Work work);
  // The same for what workers send, which may be more than is done at once: it waits its turn, in
  // order, while what is Posted goes into the next round.
  void PostMessage(Work work);
  // Waits for its turn and the commit; Unavailable if the loop has ended. Not from the loop's
  // thread.
  absl::Status Do(const std::function<absl::Status(Turn&)>& work);
  // Does what was posted before, and ends the thread.
  void Stop();
  // Why the loop has ended by itself; OK while it has not. Thread-safe.
  absl::Status status() const;

 private:
  void Run();
  absl::Status RunRound();
  void PostTo(std::deque<Work>& inbox, Work work);
  // The oldest; empty if there is none.
  Work Take(std::deque<Work>& inbox);

  const Clock& clock_;
  Rounds rounds_;  // the loop's thread only

  mutable std::mutex mutex_;
  std::condition_variable posted_;
  // Guarded by mutex_.
  std::deque<Work> inbox_;
  std::deque<Work> messages_;
  bool stopping_ = false;
  absl::Status status_;

  std::thread thread_;  // last: it uses the rest
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_LOOP_H_
