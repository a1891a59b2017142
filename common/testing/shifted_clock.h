// For tests of what waits long.
#ifndef QSWEEP_COMMON_TESTING_SHIFTED_CLOCK_H_
#define QSWEEP_COMMON_TESTING_SHIFTED_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "common/clock.h"

namespace qsweep {

// The system's clock, some time ahead of it. Thread-safe.
class ShiftedClock : public Clock {
 public:
  absl::Duration Monotonic() const override {
    return SystemClock().Monotonic() + absl::Seconds(ahead_s_.load());
  }
  int64_t UnixMicros() const override { return SystemClock().UnixMicros(); }
  void Advance(int64_t seconds) { ahead_s_ += seconds; }

 private:
  std::atomic<int64_t> ahead_s_ = 0;
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_TESTING_SHIFTED_CLOCK_H_
