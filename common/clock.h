// The only door to the system's clocks.
#ifndef QSWEEP_COMMON_CLOCK_H_
#define QSWEEP_COMMON_CLOCK_H_

#include <cstdint>

#include "absl/time/time.h"

namespace qsweep {

class Clock {
 public:
  virtual ~Clock() = default;
  // Since an arbitrary origin, never goes back, counts suspended time too: whatever decides,
  // decides by this one.
  virtual absl::Duration Monotonic() const = 0;
  // Microseconds since 1970, UTC: to be shown, never compared.
  virtual int64_t UnixMicros() const = 0;
};

// Thread-safe, lives for ever.
const Clock& SystemClock();

}  // namespace qsweep

#endif  // QSWEEP_COMMON_CLOCK_H_
