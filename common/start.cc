#include "common/start.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

namespace qsweep {

void StartProgram() {
  int fd = 0;
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDWR);
  if (fd >= 0) ::close(fd);
  signal(SIGXFSZ, SIG_IGN);
}

}  // namespace qsweep
