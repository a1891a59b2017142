#include "scheduler/disk_watch.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status.h"

namespace qsweep {
namespace {

absl::Status Full(int64_t free, int64_t reserve) {
  return absl::ResourceExhaustedError(
      absl::StrCat("the scheduler's disk is nearly full: ", free >> 20, " MiB are free, ",
                   reserve >> 20, " MiB are kept for what runs; make room there"));
}

}  // namespace

DiskWatch::DiskWatch(Loop& loop, int64_t reserve_bytes, absl::Duration interval,
                     FreeBytes free_bytes)
    : loop_(loop), reserve_bytes_(reserve_bytes), free_bytes_(std::move(free_bytes)) {
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
  return low_ ? Full(free_, reserve_bytes_) : absl::OkStatus();
}

absl::Status DiskWatch::RoomForUpload(int64_t bytes) const {
  const absl::StatusOr<int64_t> free =
      free_bytes_();  // others may have reserved since the last look
  if (!free.ok() || *free - bytes >= reserve_bytes_ / 2) return absl::OkStatus();
  return Annotate(Full(*free, reserve_bytes_), absl::StrCat("an upload of ", bytes >> 20, " MiB"));
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
  const bool low = *free < (low_ ? reserve_bytes_ + reserve_bytes_ / 10 : reserve_bytes_);
  if (low_.exchange(low) == low) return;
  const std::string why(Full(*free, reserve_bytes_).message());
  low ? LogWarning(absl::StrCat(why, "; no new work until then"))
      : LogInfo(absl::StrCat("there is room on the disk again, ", *free >> 20, " MiB: going on"));
  loop_.Post([hold = low ? why : ""](Turn& turn) { turn.state.hold = hold; });
}

}  // namespace qsweep
