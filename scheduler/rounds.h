// Everything the scheduler does, without a thread and without a network: work is done in rounds. A
// round lets each piece of work have its turn, stores what the core decided in one transaction, and
// only then lets anyone know: replies, acknowledgements and commands leave after the commit. The
// loop (loop.h) runs rounds on its thread, the simulation (tests/simulation/) on a clock of its
// own.
#ifndef QSWEEP_SCHEDULER_ROUNDS_H_
#define QSWEEP_SCHEDULER_ROUNDS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
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

// A worker's stream, seen from a round. Never blocks.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void Send(v1::ToWorker message) = 0;
  virtual void Close(const absl::Status& reason) = 0;
  // Streams of one process have one connection; "" where none is known.
  virtual std::string connection() const { return ""; }
};
// What two workers of one id are told.
inline constexpr char kSameId[] =
    "another qworker with this worker's id is connected; if its state directory was copied, give "
    "the copy an empty one";

// A watcher's stream, seen from a round. Never blocks.
class WatchStream {
 public:
  virtual ~WatchStream() = default;
  enum class Condition { kReady, kBusy, kGone };
  virtual Condition condition() = 0;
  // Only while ready; `last` ends the stream.
  virtual void Send(v1::SweepUpdate update, bool last) = 0;
  virtual void Close(const absl::Status& reason) = 0;
};

class Rounds;

// What a piece of work may use while it has its turn.
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
  const Outbox* FindSession(core::SessionNumber number) const;  // null: there is none
  // Sends the state of the sweep now and after every change.
  void AddWatch(SweepId sweep, std::shared_ptr<WatchStream> stream);
  // Ends all sessions and watches, and those that come later.
  void CloseStreams(const absl::Status& reason);
  // Something to be shown about the run, if there is one, has changed.
  void Touch(RunId run);

 private:
  friend class Round;
  Turn(Rounds& rounds, core::Effects& effects, storage::Transaction& transaction);
  Rounds& rounds_;
  std::vector<std::function<void()>> after_commit_;
};

using Work = std::function<void(Turn&)>;

// What lasts from one round to the next. Not thread-safe.
class Rounds {
 public:
  // Everything given outlives this. `state` is as restored (recovery.h); the first round must begin
  // with StartWork().
  Rounds(storage::Database& database, ArtifactStore& artifacts, const Clock& clock,
         core::State state, int64_t heartbeat_ms);

  static Work StartWork();
  // How long there may be no round, if nothing happens before.
  absl::Duration UntilNextRound() const;
  const core::State& state() const { return state_; }

 private:
  friend class Round;
  friend class Turn;
  struct Watch {
    SweepId sweep;
    std::shared_ptr<WatchStream> stream;
    std::set<RunId> changed;
    bool first = true;
    bool dirty = true;
    core::Time not_before = -absl::InfiniteDuration();
  };
  void Send(core::Effects& effects);
  void UpdateWatches(core::Time now);
  bool UpdateWatch(core::Time now, Watch& watch);  // false once it is over

  storage::Database& database_;
  ArtifactStore& artifacts_;
  const Clock& clock_;
  const int64_t heartbeat_ms_;

  core::State state_;
  std::map<core::SessionNumber, std::shared_ptr<Outbox>> sessions_;
  std::vector<Watch> watches_;
  absl::Status closed_;  // why there are no streams any more; OK while there may be
};

// One round: Do any number of times, then Conclude, Commit and Release. One that is given up
// halfway, or whose commit failed, leaves memory ahead of the disk: the process must end, and the
// next one recovers from what was committed.
class Round {
 public:
  explicit Round(Rounds& rounds);
  void Do(const Work& work);
  // Time passes for the core, and what it has to say is completed.
  absl::Status Conclude();
  // On disk when it returns OK.
  absl::Status Commit() { return transaction_.Commit(); }
  // Everyone is told.
  void Release();

 private:
  void Store();

  Rounds& rounds_;
  core::Effects effects_;
  storage::Transaction transaction_;
  Turn turn_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_ROUNDS_H_
