// The scheduler as a process that starts, stands still, crashes and recovers.
#ifndef QSWEEP_TESTS_SIMULATION_SCHEDULER_PROCESS_H_
#define QSWEEP_TESTS_SIMULATION_SCHEDULER_PROCESS_H_

#include <memory>
#include <string>
#include <vector>

#include "scheduler/rounds.h"
#include "tests/simulation/world.h"

namespace qsweep::simulation {

// A worker's stream; both sides hold it.
class Stream : public Outbox, public std::enable_shared_from_this<Stream> {
 public:
  Stream(World& world, WorkerProcess& worker, const Link& link);

  // --- The worker's side.
  void Write(v1::FromWorker message);
  // The network loses the stream. Each side notices after a while, unless it closes before.
  void Break();
  // The worker is gone, or gives the stream up.
  void CloseClient();
  // Its machine is gone without a word.
  void Vanish();

  // --- The scheduler's side.
  void Send(v1::ToWorker message) override;
  void Close(const absl::Status& reason) override;
  // The process is gone; the worker hears of it unless its machine is cut off.
  void ServerGone();

 private:
  friend class SchedulerProcess;
  void Receive(v1::FromWorker message);

  World& world_;
  WorkerProcess& worker_;
  const Link& link_;
  const std::shared_ptr<Pipe> up_, down_;
  core::SessionNumber number_ = 0;  // 0: the scheduler has not seen it
  int incarnation_ = 0;             // of the scheduler that has
  bool client_open_ = true, server_open_ = true;
  bool greeted_ = false;
};

class SchedulerProcess {
 public:
  SchedulerProcess(World& world, Bug bug, const std::string& directory);
  ~SchedulerProcess();

  void Start();
  // Ends the process between two rounds, and starts it again later.
  void Crash(Time down);
  // Ends it in the next round that does something: before or after its commit.
  enum class CrashPoint { kNone, kBeforeCommit, kAfterCommit };
  void CrashInRound(CrashPoint point, Time down);
  void Pause(Time duration);  // as SIGSTOP

  bool up() const { return rounds_ != nullptr; }
  int incarnation() const { return incarnation_; }
  // Dropped when it is down.
  void Post(Work work);
  core::SessionNumber NextSession() { return ++last_session_; }
  const core::State& state() const { return rounds_->state(); }
  storage::Database& database() { return *database_; }
  ArtifactStore& artifacts() { return *artifacts_; }
  // What the seeded bug makes of a message.
  void Corrupt(core::SessionNumber* session, v1::FromWorker* message) const;
  void AddStream(std::shared_ptr<Stream> stream) { streams_.push_back(std::move(stream)); }

 private:
  void ScheduleRound(Time delay);
  void RunRound();
  void Die();

  World& world_;
  const Bug bug_;
  std::unique_ptr<storage::Database> database_;  // lives on: it is the disk
  std::unique_ptr<ArtifactStore> artifacts_;
  std::unique_ptr<ProcessClock> clock_;
  std::unique_ptr<Rounds> rounds_;
  std::vector<Work> inbox_;
  std::vector<std::shared_ptr<Stream>> streams_;
  int incarnation_ = 0;
  int64_t agenda_ = 0;  // of the round that is to come; others are void
  Time round_at_;
  Time paused_until_;
  core::SessionNumber last_session_ = 0;
  CrashPoint crash_point_ = CrashPoint::kNone;
  Time crash_down_;
};

}  // namespace qsweep::simulation

#endif  // QSWEEP_TESTS_SIMULATION_SCHEDULER_PROCESS_H_
