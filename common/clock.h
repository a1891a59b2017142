// The only door to the system's clocks.
#ifndef QSWEEP_COMMON_CLOCK_H_
#define QSWEEP_COMMON_CLOCK_H_

#include <cstdint>

#include "absl/time/time.h"

namespace qsweep {

class Clock {
 public:
  virtual ~Clock() = default;
  // Since an arbitrary origin, never goes back, counts suspended time too: whatever decides, decides
  // by this one.
  virtual absl::Duration Monotonic() const = 0;
  // Microseconds since 1970, UTC: to be shown, never compared.
  virtual int64_t UnixMicros() const = 0;
};

// Thread-safe, lives for ever.
const Clock& SystemClock();

// Stands still until told. Not thread-safe.
class FakeClock : public Clock {
 public:
  absl::Duration Monotonic() const override { return now_; }
  int64_t UnixMicros() const override { return 1'700'000'000'000'000 + absl::ToInt64Microseconds(now_); }
  void Advance(absl::Duration by) { now_ += by; }

 private:
  absl::Duration now_ = absl::Seconds(1000);
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_CLOCK_H_
