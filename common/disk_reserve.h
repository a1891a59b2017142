// The part of a daemon's disk that is for what runs.
#ifndef QSWEEP_COMMON_DISK_RESERVE_H_
#define QSWEEP_COMMON_DISK_RESERVE_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace qsweep {

// With less than the reserve free the disk is low, until there is a tenth more.
class DiskReserve {
 public:
  static constexpr int64_t kDefaultBytes = int64_t{512} << 20;

  explicit DiskReserve(int64_t bytes) : bytes_(bytes) {}
  int64_t bytes() const { return bytes_; }
  // Thread-safe.
  bool low() const { return low_; }
  // Of one thread: what is free now. Whether low() has changed.
  bool Note(int64_t free) {
    const bool low = free < (low_ ? bytes_ + bytes_ / 10 : bytes_);
    return low_.exchange(low) != low;
  }
  // "disk is nearly full: ...".
  std::string Complaint(int64_t free) const {
    return absl::StrCat("disk is nearly full: ", free >> 20, " MiB are free, ", bytes_ >> 20,
                        " MiB are kept for what runs");
  }

 private:
  const int64_t bytes_;
  std::atomic<bool> low_ = false;
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_DISK_RESERVE_H_
