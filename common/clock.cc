#include "common/clock.h"

#include <time.h>

namespace qsweep {
namespace {

absl::Duration Read(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return absl::Seconds(t.tv_sec) + absl::Nanoseconds(t.tv_nsec);
}

class RealClock : public Clock {
 public:
  absl::Duration Monotonic() const override { return Read(CLOCK_BOOTTIME); }
  int64_t UnixMicros() const override { return absl::ToInt64Microseconds(Read(CLOCK_REALTIME)); }
};

}  // namespace

const Clock& SystemClock() {
  static const RealClock clock;
  return clock;
}

}  // namespace qsweep
