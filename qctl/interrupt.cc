#include "qctl/interrupt.h"

#include <atomic>

#include "common/shutdown.h"

namespace qsweep::qctl {
namespace {

std::atomic<int> count = 0;

}  // namespace

int Interrupts() {
  while (WaitForShutdownSignal(absl::ZeroDuration()) != 0) ++count;
  return count;
}

void SleepUnlessInterrupted(absl::Duration duration) {
  if (WaitForShutdownSignal(duration) != 0) ++count;
}

absl::Status InterruptedError() { return absl::CancelledError("interrupted"); }

}  // namespace qsweep::qctl
