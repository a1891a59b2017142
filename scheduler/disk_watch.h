#ifndef QSWEEP_SCHEDULER_DISK_WATCH_H_
#define QSWEEP_SCHEDULER_DISK_WATCH_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/disk_reserve.h"
#include "scheduler/loop.h"

namespace qsweep {

// Looks after the data directory's disk. With less than a reserve free the scheduler takes no new
// work: no sweeps, and it places no runs; those that run are stored for as long as there is room,
// and the reserve is for them. With the reserve and a tenth free it goes on by itself.
class DiskWatch {
 public:
  using FreeBytes = std::function<absl::StatusOr<int64_t>()>;
  // Looks at once, then every `interval` on a thread of its own.
  DiskWatch(Loop& loop, int64_t reserve_bytes, absl::Duration interval, FreeBytes free_bytes);
  ~DiskWatch();

  // Thread-safe. ResourceExhausted while there is less than the reserve.
  absl::Status RoomForWork() const;
  // While half of it would not be left after so many bytes: uploads wait with their workers,
  // results still come in.
  absl::Status RoomForUpload(int64_t bytes) const;

 private:
  void Run(absl::Duration interval);
  void Look();

  Loop& loop_;
  DiskReserve reserve_;
  const FreeBytes free_bytes_;
  std::atomic<int64_t> free_ = INT64_MAX;

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;     // last: it uses the rest
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_DISK_WATCH_H_
