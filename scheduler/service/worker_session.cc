#include "scheduler/service/worker_session.h"

#include <utility>

#include "common/log.h"
#include "common/rpc.h"
#include "common/status.h"
#include "scheduler/requests.h"
#include "scheduler/worker_messages.h"

namespace qsweep {
namespace {

// Far more than a worker's slots and held attempts ever cause.
constexpr size_t kMaxOutbox = 10'000;

}  // namespace

WorkerSession* WorkerSession::Start(Loop& loop, Door& door, const Caller& caller,
                                    const std::string& connection, core::SessionNumber number) {
  std::shared_ptr<WorkerSession> session(new WorkerSession(loop, door, caller, connection, number));
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
  results_ = StoredResults(received_);
  loop_.PostMessage([self = shared_from_this()](Turn& turn) {
    if (const absl::Status status = self->Take(turn); !status.ok()) {
      LogWarning(absl::StrCat(self->name_, ": ", status.message()));
      turn.AfterCommit([self, status] { self->Close(status); });
      return;
    }
    turn.AfterCommit([self] { self->ReadNext(); });
  });
}

absl::Status WorkerSession::Take(Turn& turn) {
  RETURN_IF_ERROR(door_.StillGood(caller_));
  if (greeted_) return TakeMessage(turn, number_, received_, results_);
  if (!received_.has_hello()) return absl::InvalidArgumentError("a session begins with hello");
  RETURN_IF_ERROR(CheckHello(received_.hello()));
  const v1::WorkerInfo& info = received_.hello().info();
  name_ = absl::StrCat("worker ", info.name(), " (", info.id(), ") at ", connection_);
  RETURN_IF_ERROR(door_.Admit(turn, caller_, WorkerId(info.id())));
  RETURN_IF_ERROR(TakeHello(turn, number_, received_.hello(), shared_from_this()));
  greeted_ = true;
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
  loop_.PostMessage([number = number_](Turn& turn) { TakeDisconnect(turn, number); });
  const std::shared_ptr<WorkerSession> self = std::move(self_);  // goes when this function does
}

}  // namespace qsweep
