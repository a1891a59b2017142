// The worker: one loop that hears of the scheduler and of finished transfers, looks after the
// trainers, and decides. What is slow (the network, large files) is done by other threads.
#ifndef QSWEEP_WORKER_AGENT_AGENT_H_
#define QSWEEP_WORKER_AGENT_AGENT_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/disk_reserve.h"
#include "common/metrics_http.h"
#include "qsweep/v1/worker.pb.h"
#include "worker/agent/attempt.h"
#include "worker/agent/inbox.h"
#include "worker/agent/machine.h"
#include "worker/agent/session.h"
#include "worker/agent/state_directory.h"
#include "worker/agent/trainer.h"
#include "worker/agent/transfer.h"

namespace qsweep {

struct AgentOptions {
  v1::WorkerInfo info;     // complete but for the id
  TrainerOptions trainer;  // for each run
  // With less of the state directory's disk free no run is taken or begun; with a tenth more again.
  int64_t disk_reserve_bytes = DiskReserve::kDefaultBytes;
  std::function<absl::StatusOr<int64_t>()> free_disk_bytes;  // empty: asks the system
};

class Agent {
 public:
  // Two connections: on a slow line a file that is under way on the session's would hold up
  // heartbeats for longer than a lease.
  Agent(AgentOptions options, StateDirectory state, std::shared_ptr<grpc::Channel> session,
        std::shared_ptr<grpc::Channel> transfers, const Clock& clock);
  // Leaves trainers running: only Run, after Shutdown, stops them.
  ~Agent() = default;

  // The loop. Adopts what is in the state directory, then serves until Shutdown is done.
  absl::Status Run();
  // Thread-safe. Stops the attempts, each with a checkpoint, reports them as far as the scheduler
  // can be reached in time, and lets Run return.
  void Shutdown() { inbox_.Put(ShutdownAsked{}); }
  // Thread-safe. How it stands, for Prometheus.
  MetricsPage Metrics();

 private:
  struct ShutdownAsked {};
  struct TransferEnded {
    Transfer transfer;
    TransferResult result;
  };
  using Message = std::variant<SessionEvent, TransferEnded, ShutdownAsked>;

  void Handle(SessionEvent& event);
  void Handle(TransferEnded& ended);
  void Handle(ShutdownAsked&);

  void On(const SessionWanted&);
  void On(const SessionClosed& closed);
  void On(const v1::ToWorker& message);
  void OnWelcome(const v1::Welcome& welcome);
  void OnAssign(const v1::Assign& assign);
  // Ends an attempt of which this worker has nothing.
  void ReportAbsent(const v1::Attempt& attempt, v1::Blame blame);

  void AdvanceAll();
  int RunningTrainers() const;
  void UpdateHeartbeat();
  void LookAtDisk();
  bool ShutdownDone() const;
  Attempt* Find(const v1::Attempt& attempt);

  AgentOptions options_;
  const StateDirectory state_;
  const Clock& clock_;
  Machine machine_;
  Inbox<Message> inbox_;

  bool connected_ = false;
  DiskReserve disk_{options_.disk_reserve_bytes};
  std::string last_complaint_;  // so that a scheduler that stays away is logged once
  std::optional<absl::Duration> shutdown_since_;
  absl::Duration next_sample_;
  v1::Heartbeat heartbeat_;

  const AttemptEnvironment environment_;
  std::map<AttemptId, std::unique_ptr<Attempt>> attempts_;

  // Last: their threads put into the inbox. Uploads and downloads do not wait for each other.
  Courier uploads_;
  Courier downloads_;
  Session session_;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_AGENT_H_
