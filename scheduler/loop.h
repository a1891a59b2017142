// The scheduler's one thread. It drains its inbox, lets the core decide, stores everything in one
// transaction, and only then lets anyone know: replies, acknowledgements and commands leave after
// the commit. A commit that fails ends the loop, and with it the process: what is on disk is whole,
// and the next start recovers from it.
#ifndef QSWEEP_SCHEDULER_LOOP_H_
#define QSWEEP_SCHEDULER_LOOP_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "qsweep/v1/sweep.pb.h"
#include "qsweep/v1/worker.pb.h"
#include "scheduler/artifact_store.h"
#include "scheduler/core/effects.h"
#include "scheduler/core/state.h"
#include "storage/transaction.h"

namespace qsweep {

// A worker's stream, seen from the loop. Never blocks.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void Send(v1::ToWorker message) = 0;
  virtual void Close(const absl::Status& reason) = 0;
};

// A watcher's stream, seen from the loop. Never blocks.
class WatchStream {
 public:
  virtual ~WatchStream() = default;
  enum class Condition { kReady, kBusy, kGone };
  virtual Condition condition() = 0;
  // Only while ready; `last` ends the stream.
  virtual void Send(v1::SweepUpdate update, bool last) = 0;
  virtual void Close(const absl::Status& reason) = 0;
};

class Loop;

// What a piece of work may use while it has its turn on the loop's thread.
class Turn {
 public:
  core::State& state;
  core::Effects& effects;
  storage::Transaction& transaction;
  ArtifactStore& artifacts;
  const core::Time now;
  const int64_t unix_us;
  const int64_t heartbeat_ms;

  storage::Database& database() { return transaction.database(); }
  // Runs once everything of this turn is on disk.
  void AfterCommit(std::function<void()> then);
  // The file goes after the commit, unless the content has come again by then.
  void RemoveArtifacts(const std::vector<std::string>& sha256s);
  void AddSession(core::SessionNumber number, std::shared_ptr<Outbox> outbox);
  void RemoveSession(core::SessionNumber number);
  // Sends the state of the sweep now and after every change.
  void AddWatch(SweepId sweep, std::shared_ptr<WatchStream> stream);
  // Ends all sessions and watches, and those that come later.
  void CloseStreams(const absl::Status& reason);
  // Something to be shown about the run, if there is one, has changed.
  void Touch(RunId run);

 private:
  friend class Loop;
  Turn(Loop& loop, core::Effects& effects, storage::Transaction& transaction);
  Loop& loop_;
  std::vector<std::function<void()>> after_commit_;
};

class Loop {
 public:
  using Work = std::function<void(Turn&)>;

  // Everything given outlives the loop. `state` is as restored; it is resumed first of all.
  Loop(storage::Database& database, ArtifactStore& artifacts, const Clock& clock, core::State state,
       int64_t heartbeat_ms);
  ~Loop();

  // Thread-safe. Work given after Stop is dropped.
  void Post(Work work);
  // Waits for its turn and the commit; Unavailable if the loop has ended. Not from the loop's
  // thread.
  absl::Status Do(const std::function<absl::Status(Turn&)>& work);
  // Does what was posted before, and ends the thread.
  void Stop();
  // Why the loop has ended by itself; OK while it has not. Thread-safe.
  absl::Status status() const;

 private:
  friend class Turn;
  struct Watch {
    SweepId sweep;
    std::shared_ptr<WatchStream> stream;
    std::set<RunId> changed;
    bool first = true;
    bool dirty = true;
    core::Time not_before = -absl::InfiniteDuration();
  };

  void Run();
  absl::Status RunBatch(std::vector<Work> batch);
  void Store(Turn& turn);
  void Send(core::Effects& effects);
  void UpdateWatches(core::Time now);
  bool UpdateWatch(core::Time now, Watch& watch);  // false once it is over
  absl::Duration UntilNextTick() const;

  storage::Database& database_;
  ArtifactStore& artifacts_;
  const Clock& clock_;
  const int64_t heartbeat_ms_;

  // The loop's thread only.
  core::State state_;
  std::map<core::SessionNumber, std::shared_ptr<Outbox>> sessions_;
  std::vector<Watch> watches_;
  absl::Status closed_;  // why there are no streams any more; OK while there may be

  mutable std::mutex mutex_;
  std::condition_variable posted_;
  // Guarded by mutex_.
  std::deque<Work> inbox_;
  bool stopping_ = false;
  absl::Status status_;

  std::thread thread_;  // last: it uses the rest
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_LOOP_H_
