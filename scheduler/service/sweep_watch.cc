#include "scheduler/service/sweep_watch.h"

#include <utility>

#include "common/rpc.h"
#include "scheduler/views.h"

namespace qsweep {

SweepWatch* SweepWatch::Start(Loop& loop, const Door& door, const Caller& caller,
                              const std::string& sweep) {
  auto watch = std::make_shared<SweepWatch>(door, caller);
  watch->self_ = watch;
  loop.Post([watch, sweep](Turn& turn) {
    const absl::StatusOr<SweepId> id = ResolveSweep(turn.database(), sweep);
    if (id.ok()) {
      turn.AddWatch(*id, watch);
    } else {
      watch->Close(id.status());
    }
  });
  return watch.get();
}

WatchStream::Condition SweepWatch::condition() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (const absl::Status status = door_.StillGood(caller_); !status.ok()) End(ToGrpc(status));
  if (ending_) return Condition::kGone;
  return writing_ ? Condition::kBusy : Condition::kReady;
}

void SweepWatch::Send(v1::SweepUpdate update, bool last) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ending_) return;
  update_ = std::move(update);
  last_ = last;
  writing_ = true;
  StartWrite(&update_);
}

void SweepWatch::Close(const absl::Status& reason) {
  std::lock_guard<std::mutex> lock(mutex_);
  End(ToGrpc(reason));
}

void SweepWatch::OnWriteDone(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  writing_ = false;
  if (ending_) {
    Finish(status_);
  } else if (!ok || last_) {
    End(grpc::Status::OK);
  }
}

void SweepWatch::OnCancel() {
  std::lock_guard<std::mutex> lock(mutex_);
  End(grpc::Status::CANCELLED);
}

void SweepWatch::OnDone() {
  const std::shared_ptr<SweepWatch> self = std::move(self_);  // goes when this function does
}

void SweepWatch::End(const grpc::Status& status) {
  if (ending_) return;
  ending_ = true;
  status_ = status;
  if (!writing_) Finish(status);  // else when the write is done
}

}  // namespace qsweep
