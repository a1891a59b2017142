// Ctrl-C (and SIGTERM) without signal handlers: main blocks the signals (common/shutdown.h), and
// whoever waits asks here, on any thread.
#ifndef QSWEEP_QCTL_INTERRUPT_H_
#define QSWEEP_QCTL_INTERRUPT_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace qsweep::qctl {

// How many of these signals have come since the program began.
int Interrupts();
// Sleeps, or less when a signal comes.
void SleepUnlessInterrupted(absl::Duration duration);
// What a command returns that was interrupted; main ends with kExitInterrupted.
absl::Status InterruptedError();

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_INTERRUPT_H_
