// Waiting for SIGTERM or SIGINT in a program with threads.
#ifndef QSWEEP_COMMON_SHUTDOWN_H_
#define QSWEEP_COMMON_SHUTDOWN_H_

#include "absl/time/time.h"

namespace qsweep {

// Blocks SIGTERM and SIGINT for this thread and all it starts, ignores SIGPIPE and not SIGCHLD.
// Call first in main, before any thread. Children made by Subprocess get the default mask back.
void BlockShutdownSignals();

// The signal that came, or 0 after `timeout`. Takes the signal: the next call waits for another.
int WaitForShutdownSignal(absl::Duration timeout);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SHUTDOWN_H_
