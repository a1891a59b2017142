#include "scheduler/service/worker_session.h"

#include <utility>

#include "common/log.h"
#include "common/rpc.h"
#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "scheduler/events.h"
#include "scheduler/service/requests.h"
#include "scheduler/text.h"
#include "storage/results.h"
#include "storage/workers.h"

namespace qsweep {
namespace {

// Far more than a worker's slots and held attempts ever cause.
constexpr size_t kMaxOutbox = 10'000;
constexpr size_t kMaxErrorBytes = 4 << 10;
constexpr size_t kMaxTailBytes = 16 << 10;

absl::Status TakeEnd(Turn& turn, core::SessionNumber session, v1::AttemptEnded ended) {
  ended.set_error(std::string(Beginning(ended.error(), kMaxErrorBytes)));
  ended.set_log_tail(std::string(Ending(ended.log_tail(), kMaxTailBytes)));
  if (!v1::Blame_IsValid(ended.blame()) || ended.blame() == v1::BLAME_UNSPECIFIED) {
    ended.set_blame(v1::BLAME_MACHINE);
  }
  const AttemptId attempt{RunId(ended.attempt().run_id()), AttemptNumber(ended.attempt().number())};
  ASSIGN_OR_RETURN(const bool has_result, storage::HasResult(turn.database(), attempt));
  core::OnAttemptEnded(turn.state, turn.now, session, ended, has_result, turn.effects);
  return absl::OkStatus();
}

}  // namespace

WorkerSession* WorkerSession::Start(Loop& loop, core::SessionNumber number) {
  std::shared_ptr<WorkerSession> session(new WorkerSession(loop, number));
  session->self_ = session;
  session->StartRead(&session->received_);
  return session.get();
}

void WorkerSession::Send(v1::ToWorker message) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ending_) return;
  if (outbox_.size() >= kMaxOutbox) {
    End(absl::ResourceExhaustedError("the worker does not read what it is sent"));
    return;
  }
  outbox_.push_back(std::move(message));
  if (outbox_.size() == 1) WriteNext();
}

void WorkerSession::Close(const absl::Status& reason) {
  std::lock_guard<std::mutex> lock(mutex_);
  End(reason);
}

void WorkerSession::OnReadDone(bool ok) {
  if (!ok) return Close(absl::OkStatus());  // the worker has closed its side, or is gone
  loop_.Post([self = shared_from_this()](Turn& turn) {
    if (const absl::Status status = self->Take(turn); !status.ok()) {
      LogWarning(absl::StrCat("session ", self->number_, ": ", status.message()));
      turn.AfterCommit([self, status] { self->Close(status); });
      return;
    }
    turn.AfterCommit([self] { self->ReadNext(); });
  });
}

absl::Status WorkerSession::Take(Turn& turn) {
  if (received_.has_hello() == greeted_) {
    return absl::InvalidArgumentError("a session begins with hello and says it once");
  }
  switch (received_.kind_case()) {
    case v1::FromWorker::kHello:
      return Greet(turn, received_.hello());
    case v1::FromWorker::kHeartbeat: {
      const v1::Heartbeat& beat = received_.heartbeat();
      core::OnHeartbeat(turn.state, turn.now, number_, beat, turn.effects);
      for (const v1::AttemptProgress& progress : beat.attempts()) {
        turn.Touch(RunId(progress.attempt().run_id()));
      }
      return absl::OkStatus();
    }
    case v1::FromWorker::kEvents:
      TakeEvents(turn, number_, received_.events());
      return absl::OkStatus();
    case v1::FromWorker::kEnded:
      return TakeEnd(turn, number_, std::move(*received_.mutable_ended()));
    case v1::FromWorker::kGoodbye:
      core::OnGoodbye(turn.state, turn.now, number_, received_.goodbye().reason(), turn.effects);
      return absl::OkStatus();
    case v1::FromWorker::KIND_NOT_SET:
      return absl::InvalidArgumentError("a message without content, or of a newer qsweep");
  }
  return absl::OkStatus();
}

absl::Status WorkerSession::Greet(Turn& turn, const v1::Hello& hello) {
  RETURN_IF_ERROR(CheckHello(hello));
  RETURN_IF_ERROR(storage::PutWorker(turn.transaction, {hello.info(), turn.unix_us}));
  LogInfo(absl::StrCat("worker ", hello.info().name(), " (", hello.info().id(), ") connected with ",
                       hello.held_size(), " attempts"));
  greeted_ = true;
  turn.AddSession(number_, shared_from_this());
  core::OnHello(turn.state, turn.now, number_, hello, turn.heartbeat_ms, turn.effects);
  return absl::OkStatus();
}

void WorkerSession::ReadNext() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!ending_) StartRead(&received_);
}

void WorkerSession::WriteNext() { StartWrite(&outbox_.front()); }

void WorkerSession::OnWriteDone(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  outbox_.pop_front();
  if (!ok) {
    outbox_.clear();
    End(absl::UnavailableError("the stream broke"));
  }
  if (!outbox_.empty()) {
    WriteNext();
  } else if (ending_ && !finished_) {
    finished_ = true;
    Finish(ToGrpc(reason_));
  }
}

void WorkerSession::OnCancel() { Close(absl::CancelledError("the worker is gone")); }

void WorkerSession::End(const absl::Status& reason) {
  if (ending_) return;
  ending_ = true;
  reason_ = reason;
  if (outbox_.empty()) {
    finished_ = true;
    Finish(ToGrpc(reason_));
  }
}

void WorkerSession::OnDone() {
  loop_.Post([number = number_](Turn& turn) {
    if (const core::Worker* worker = core::FindWorker(turn.state, number)) {
      LogInfo(absl::StrCat("worker ", worker->info.name(), ": lost contact"));
      // Failing, it fails the commit.
      (void)storage::SetWorkerSeen(turn.transaction, WorkerId(worker->info.id()), turn.unix_us);
    }
    core::OnDisconnect(turn.state, number);
    turn.RemoveSession(number);
  });
  const std::shared_ptr<WorkerSession> self = std::move(self_);  // goes when this function does
}

}  // namespace qsweep
