#include "common/subprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/testing/temporary_directory.h"

namespace qsweep {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> Shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

TEST(Subprocess, GivesOutputOrTheReasonForNone) {
  EXPECT_EQ(RunForOutput(Shell("echo out; echo err >&2"), absl::Seconds(10)).value(), "out\n");
  const auto failed = RunForOutput(Shell("echo why >&2; exit 3"), absl::Seconds(10));
  EXPECT_THAT(failed.status().message(), HasSubstr("exit code 3: why"));
  const auto killed = RunForOutput(Shell("kill -9 $$"), absl::Seconds(10));
  EXPECT_THAT(killed.status().message(), HasSubstr("signal 9"));
  EXPECT_EQ(RunForOutput({"/no/such/program"}, absl::Seconds(10)).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(Subprocess, TheTimeoutKills) {
  const absl::Duration begin = SystemClock().Monotonic();
  EXPECT_EQ(RunForOutput(Shell("exec sleep 60"), absl::Milliseconds(50)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(SystemClock().Monotonic() - begin, absl::Seconds(30));
}

TEST(Subprocess, TheTimeoutKillsItsChildrenToo) {
  const TemporaryDirectory directory;
  const std::string path = directory.Path("pid");
  EXPECT_EQ(
      RunForOutput({"/bin/sh", "-c", "sleep 60 & echo $! > \"$0\"; wait", path}, absl::Seconds(5))
          .status()
          .code(),
      absl::StatusCode::kDeadlineExceeded);
  const pid_t child = std::stoi(ReadFile(path, 100).value_or("0"));
  ASSERT_GT(child, 1);
  // Gone, or a zombie until init reaps it; a signal takes a moment.
  const absl::Duration deadline = SystemClock().Monotonic() + absl::Seconds(30);
  const auto lives = [child] {
    const auto stat = ReadFile("/proc/" + std::to_string(child) + "/stat", 4096);
    return stat.ok() && stat->find(") Z ") == std::string::npos;
  };
  while (lives() && SystemClock().Monotonic() < deadline) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_FALSE(lives());
}

TEST(Subprocess, HasItsOwnSessionDirectoryAndEnvironment) {
  const TemporaryDirectory directory;
  SubprocessOptions options;
  options.stdout_path = directory.Path("out");
  options.working_directory = "/usr";
  options.environment = {"QSWEEP_TEST=yes", "HOME=/elsewhere"};
  options.argv = Shell("pwd; echo $QSWEEP_TEST $HOME; cut -d' ' -f6 /proc/$$/stat");
  const auto pid = StartSubprocess(options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  const auto exit = WaitSubprocess(*pid, absl::Seconds(10));
  ASSERT_TRUE(exit.ok());
  EXPECT_EQ(exit->exit_code, 0);
  EXPECT_EQ(ReadFile(options.stdout_path, 1000).value(),
            "/usr\nyes /elsewhere\n" + std::to_string(*pid) + "\n");
}

TEST(Subprocess, SignalsAreUnblockedInTheChild) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  const auto pid = StartSubprocess({.argv = Shell("exec sleep 60")});
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_FALSE(PollSubprocess(*pid)->has_value());
  ::kill(*pid, SIGTERM);
  EXPECT_EQ(WaitSubprocess(*pid, absl::Seconds(10))->signal, SIGTERM);
  EXPECT_FALSE(PollSubprocess(*pid).ok());  // reaped already
}

TEST(Subprocess, KnowsWhereThisProgramLies) {
  EXPECT_TRUE(PathExists(JoinPath(ProgramDirectory(), "subprocess_test")));
}

}  // namespace
}  // namespace qsweep
