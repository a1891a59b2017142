// One attempt on this worker: its directory, its trainer, what of its events is sent, and its end.
// Everything here is done by the agent's thread; nothing waits.
#ifndef QSWEEP_WORKER_AGENT_ATTEMPT_H_
#define QSWEEP_WORKER_AGENT_ATTEMPT_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/ids.h"
#include "qsweep/v1/worker.pb.h"
#include "worker/agent/decision.h"
#include "worker/agent/event_tail.h"
#include "worker/agent/machine.h"
#include "worker/agent/state_directory.h"
#include "worker/agent/trainer.h"
#include "worker/agent/transfer.h"

namespace qsweep {

// What attempts work with; outlives them.
struct AttemptEnvironment {
  const StateDirectory& state;
  const TrainerOptions& trainer;
  const Machine& machine;
  const Clock& clock;
  std::function<void(v1::FromWorker)> send;
  std::function<void(Transfer)> transfer;  // answered by OnTransfer
};

class Attempt {
 public:
  // Given by the scheduler of the session that is open.
  static std::unique_ptr<Attempt> FromAssign(const AttemptEnvironment& environment,
                                             const v1::Assign& assign);
  // Left behind by an earlier agent in the state directory.
  static std::unique_ptr<Attempt> FromDirectory(const AttemptEnvironment& environment,
                                                const v1::Assign& assign);

  const AttemptId& id() const { return id_; }
  Phase phase() const { return phase_; }
  bool discarded() const { return stop_ == StopWish::kDiscard; }
  bool succeeded() const { return phase_ == Phase::kEnded && ended_.succeeded() && !discarded(); }

  // A session is open whose scheduler keeps this attempt and has its log before `acked_offset`.
  void Attach(uint64_t acked_offset);
  void Detach();
  // A wish to discard replaces one to checkpoint, never the other way round.
  void Stop(const std::string& reason, bool checkpoint);
  void OnEventsAck(uint64_t offset);
  void OnEndedAck() { end_acknowledged_ = true; }
  void OnTransfer(const Transfer& transfer, const TransferResult& result);

  // Does all that can be done now. False once the directory is deleted and the object can go.
  bool Advance(bool slot_free);

  // Looks how far the trainer is and what its process uses.
  void Sample();
  // Files move between this worker and the scheduler: if any of this attempt's is among them or
  // waits for its turn, that it does not stand still is told with a batch of no events.
  void OnFilesMove();
  const v1::AttemptProgress& progress() const { return progress_; }

 private:
  struct TransferState {
    enum Code { kUnderWay, kWaiting, kDone, kLost } code = kUnderWay;
    absl::Duration retry_at;
    std::string message;
    std::optional<grpc::StatusCode> told;  // why it is tried again
  };

  Attempt(const AttemptEnvironment& environment, const v1::Assign& assign);
  AttemptFacts Facts(bool slot_free);
  // Whether a log that nobody writes any more has been sent as far as it can be.
  bool LogSent();

  // Begins or repeats what is wanted if need be; how it stands.
  const TransferState& Request(Direction direction, const std::string& path,
                               const std::string& sha256, int64_t bytes);
  void Prepare();
  void Fetch();
  void Start();
  void Terminate();
  void CheckTrainer();
  void SendEvents();
  // Sees to the files that the batch names; whether it can be sent.
  bool Upload(const v1::EventBatch& batch);
  void SendEnd();
  void End(Evidence evidence);
  // Without a trainer; `input_refused`: because the scheduler does not give what it named.
  void EndUnstarted(absl::string_view why, bool input_refused = false);
  void Learn(const v1::Event& event);
  void OnLogError(const absl::Status& status);

  const AttemptEnvironment& environment_;
  const AttemptId id_;
  const v1::Assign assign_;
  std::string directory_;  // of the attempt, or of what is to become it
  Phase phase_ = Phase::kPreparing;
  std::map<std::string, TransferState> transfers_;  // by path

  std::optional<Trainer> trainer_;
  int64_t memory_kills_before_ = 0;
  StopWish stop_ = StopWish::kNone;
  std::string stop_reason_;
  std::optional<absl::Duration> terminated_at_;
  bool killed_ = false;

  bool attached_ = false;
  EventTail tail_;
  std::string cut_reason_;  // why no more of the log can be sent, ever
  absl::Status log_error_;  // the last one, so that it is told once
  v1::AttemptEnded ended_;  // in kEnded
  bool end_sent_ = false;
  bool end_acknowledged_ = false;

  v1::AttemptProgress progress_;
  ProcessSampler sampler_;
  std::optional<absl::Duration> moving_told_at_;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_ATTEMPT_H_
