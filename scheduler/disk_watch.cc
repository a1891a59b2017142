#include "scheduler/disk_watch.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status.h"

namespace qsweep {
namespace {

absl::Status Full(int64_t free, const DiskReserve& reserve) {
  return absl::ResourceExhaustedError(
      absl::StrCat("the scheduler's ", reserve.Complaint(free), "; make room there"));
}

}  // namespace

DiskWatch::DiskWatch(Loop& loop, int64_t reserve_bytes, absl::Duration interval,
                     FreeBytes free_bytes)
    : loop_(loop), reserve_(reserve_bytes), free_bytes_(std::move(free_bytes)) {
  Look();
  thread_ = std::thread([this, interval] { Run(interval); });
}

DiskWatch::~DiskWatch() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_one();
  thread_.join();
}

absl::Status DiskWatch::RoomForWork() const {
  return reserve_.low() ? Full(free_, reserve_) : absl::OkStatus();
}

absl::Status DiskWatch::RoomForUpload(int64_t bytes) const {
  const absl::StatusOr<int64_t> free =
      free_bytes_();  // others may have reserved since the last look
  if (!free.ok() || *free - bytes >= reserve_.bytes() / 2) return absl::OkStatus();
  return Annotate(Full(*free, reserve_), absl::StrCat("an upload of ", bytes >> 20, " MiB"));
}

void DiskWatch::Run(absl::Duration interval) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (
      !stopped_.wait_for(lock, absl::ToChronoNanoseconds(interval), [this] { return stopping_; })) {
    lock.unlock();
    Look();
    lock.lock();
  }
}

void DiskWatch::Look() {
  const absl::StatusOr<int64_t> free = free_bytes_();
  if (!free.ok()) return;  // not known is not low
  free_ = *free;
  if (!reserve_.Note(*free)) return;
  const std::string why(Full(*free, reserve_).message());
  if (reserve_.low()) {
    LogWarning(absl::StrCat(why, "; no new work until then"));
  } else {
    LogInfo(absl::StrCat("there is room on the disk again, ", *free >> 20, " MiB: going on"));
  }
  loop_.Post([hold = reserve_.low() ? why : ""](Turn& turn) { turn.state.hold = hold; });
}

}  // namespace qsweep
