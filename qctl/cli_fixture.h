// For tests that run the real qctl, each in a directory of its own.
#ifndef QSWEEP_QCTL_CLI_FIXTURE_H_
#define QSWEEP_QCTL_CLI_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/subprocess.h"
#include "common/testing/temporary_directory.h"

namespace qsweep::qctl {

struct Outcome {
  int exit_code = -1;  // -1: ended by a signal
  std::string out;
  std::string err;
};

class CliTest : public ::testing::Test {
 protected:
  // A qctl that runs.
  struct Started {
    pid_t pid = 0;
    std::string out_path, err_path;
  };
  // In the test's directory, where the data directory is the default one.
  Started Begin(const std::vector<std::string>& arguments,
                const std::vector<std::string>& environment = {}) {
    SubprocessOptions options;
    options.argv = {QSWEEP_BIN_DIR "/qctl"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.working_directory = directory_.path();
    options.environment = environment;
    options.stdout_path = Path(absl::StrCat("out", ++calls_));
    options.stderr_path = Path(absl::StrCat("err", calls_));
    const auto pid = StartSubprocess(options);
    EXPECT_TRUE(pid.ok()) << pid.status();
    return {pid.value_or(0), options.stdout_path, options.stderr_path};
  }
  Outcome End(const Started& started) {
    Outcome outcome;
    const auto exit = WaitSubprocess(started.pid, absl::Minutes(3));
    EXPECT_TRUE(exit.ok()) << exit.status();
    if (exit.ok() && exit->signal == 0) outcome.exit_code = exit->exit_code;
    outcome.out = ReadFile(started.out_path, 1 << 24).value_or("");
    outcome.err = ReadFile(started.err_path, 1 << 24).value_or("");
    return outcome;
  }
  Outcome Qctl(const std::vector<std::string>& arguments,
               const std::vector<std::string>& environment = {}) {
    return End(Begin(arguments, environment));
  }

  std::string Path(const std::string& name) const { return directory_.Path(name); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomic(Path(name), text).ok());
  }
  static void Await(const std::function<bool()>& condition) {
    const absl::Duration deadline = SystemClock().Monotonic() + absl::Minutes(1);
    while (!condition()) {
      ASSERT_LT(SystemClock().Monotonic(), deadline) << "waited for a minute";
      absl::SleepFor(absl::Milliseconds(20));
    }
  }

  // The embedded scheduler's process, as its lock file names it; it may have ended. Does not touch
  // the lock, which could keep a scheduler from taking it.
  pid_t SchedulerPid() const { return FileLock::Holder(Path("qsweep-data/lock")); }
  // Only while none can be starting.
  bool SchedulerRuns() const { return FileLock::IsHeld(Path("qsweep-data/lock")); }
  bool WorkerRuns() const { return FileLock::IsHeld(Path("qsweep-data/worker/lock")); }

  const TemporaryDirectory directory_;
  int calls_ = 0;
};

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_CLI_FIXTURE_H_
