#include "common/shutdown.h"

#include <signal.h>

#include <cerrno>

#include "common/status.h"

namespace qsweep {
namespace {

sigset_t ShutdownSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void BlockShutdownSignals() {
  const sigset_t set = ShutdownSet();
  QSWEEP_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_DFL);  // a parent may have left it ignored: then no exit code is ever known
}

int WaitForShutdownSignal(absl::Duration timeout) {
  const sigset_t set = ShutdownSet();
  const timespec wait = absl::ToTimespec(timeout);
  const int signal = sigtimedwait(&set, nullptr, &wait);
  return signal < 0 ? 0 : signal;
}

}  // namespace qsweep
