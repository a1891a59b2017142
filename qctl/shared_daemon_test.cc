// A daemon that a command starts and stops.
#include "qctl/shared_daemon.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "absl/strings/str_cat.h"
#include "common/testing/temporary_directory.h"

namespace qsweep::qctl {
namespace {

// As a scheduler that waits for room on the disk: it had its lock once.
TEST(SharedDaemonTest, OneThatHoldsNoLockIsStoppedByWhoStartedIt) {
  const TemporaryDirectory directory;
  DaemonOptions options;
  options.name = "daemon";
  options.lock_path = directory.Path("lock");
  options.log_path = directory.Path("log");
  options.marks = directory.Path("daemon");
  options.argv = {"/bin/sh", "-c",
                  absl::StrCat("echo $$ > ", options.lock_path, "; exec sleep 99")};
  absl::StatusOr<SharedDaemon> daemon = SharedDaemon::Use(options);
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const pid_t pid = FileLock::Holder(options.lock_path);
  ASSERT_EQ(::kill(pid, 0), 0);
  EXPECT_TRUE(daemon->Release([] { return false; }).value());
  EXPECT_NE(::kill(pid, 0), 0);
}

}  // namespace
}  // namespace qsweep::qctl
