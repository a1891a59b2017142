// A child process that outlives its parent if it must: own session; of the descriptors it inherits
// only those that are not close-on-exec.
#ifndef QSWEEP_COMMON_SUBPROCESS_H_
#define QSWEEP_COMMON_SUBPROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace qsweep {

struct SubprocessOptions {
  std::vector<std::string> argv;         // argv[0] is a path; no shell, no PATH search
  std::string working_directory;         // empty: the parent's
  std::string stdout_path;               // appended to; empty: /dev/null
  std::string stderr_path;               // likewise
  std::vector<std::string> environment;  // NAME=VALUE, added to the parent's
};

// Starts it and returns its pid once exec has succeeded; exec's failure is this call's error.
// Signals are unblocked in the child, and SIGPIPE ends it whatever it does to the parent.
absl::StatusOr<pid_t> StartSubprocess(const SubprocessOptions& options);

struct ExitStatus {
  int exit_code = 0;
  int signal = 0;  // non-zero: killed by it
};

// nullopt while it runs. The pid must be a child of this process and not yet reaped.
absl::StatusOr<std::optional<ExitStatus>> PollSubprocess(pid_t pid);
// Polls until it ends; DeadlineExceeded if it still runs after `timeout`.
absl::StatusOr<ExitStatus> WaitSubprocess(pid_t pid, absl::Duration timeout);

// Runs it to its end and returns what it printed to standard output (at most 1 MiB). An exit code
// other than 0, a signal or the timeout (which kills its children too) is an error that quotes the
// end of its standard error.
absl::StatusOr<std::string> RunForOutput(const std::vector<std::string>& argv,
                                         absl::Duration timeout,
                                         const std::string& working_directory = "");

// The directory the running program lies in: where its sister programs are.
std::string ProgramDirectory();

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SUBPROCESS_H_
