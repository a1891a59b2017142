// A daemon that the qctl commands of one data directory share: the first that needs it starts it,
// the last that used it stops it. Whoever dies by SIGKILL leaves no trace but a daemon that runs
// on; the next command finds it and uses it.
//
//   NAME.users  flock, shared by every command that uses the daemon, exclusive while it is stopped
//   NAME.start  flock, exclusive while somebody looks whether it runs and starts it
//   NAME.pid    of the daemon that a command started; any other is left alone
#ifndef QSWEEP_QCTL_SHARED_DAEMON_H_
#define QSWEEP_QCTL_SHARED_DAEMON_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/file.h"

namespace qsweep::qctl {

struct DaemonOptions {
  std::string name;               // for messages
  std::vector<std::string> argv;  // argv[0] is its path
  std::string lock_path;          // locked by the daemon for as long as it lives; names its pid
  std::string log_path;           // what it prints is appended
  std::string marks;              // path of the files above, without .users etc.
};

class SharedDaemon {
 public:
  // Registers as a user and starts the daemon unless it runs. An error quotes the end of its log.
  static absl::StatusOr<SharedDaemon> Use(DaemonOptions options);
  // Whether it runs now, whoever started it.
  static bool IsRunning(const DaemonOptions& options);
  SharedDaemon(SharedDaemon&&) = default;
  SharedDaemon& operator=(SharedDaemon&&) = default;

  // Starts it again if it has died. Call often. Gives up, with the end of its log, when it died a
  // few times in a row by its own fault: SIGKILL is somebody else's.
  absl::Status KeepRunning();
  // Whether this command started it (and not one before).
  bool started_here() const { return child_ != 0; }

  // Ends the use. If it was the last one and a command had started the daemon, sends SIGTERM and
  // waits; `impatient` is asked meanwhile, and true makes it SIGKILL. False: others use it still.
  absl::StatusOr<bool> Release(const std::function<bool()>& impatient);

 private:
  explicit SharedDaemon(DaemonOptions options) : options_(std::move(options)) {}
  absl::Status StartUnlessRunning();
  absl::Status Start();
  absl::Status DiedError() const;
  bool ChildEnded();

  DaemonOptions options_;
  FileDescriptor users_;
  pid_t child_ = 0;  // 0: not ours to wait for
  int64_t log_begin_ = 0;
  absl::Duration started_at_;
  int deaths_ = 0;  // in a row, by its own fault
};

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_SHARED_DAEMON_H_
