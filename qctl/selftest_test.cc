// qctl selftest as far as it is its own: what it trains with, run_test shows.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "qctl/cli_fixture.h"

namespace qsweep::qctl {
namespace {

TEST_F(CliTest, TheSelftestHasASchedulerOfItsOwn) {
  const Started selftest =
      Begin({"selftest"}, {"QSWEEP_SCHEDULER=unix:nobody.sock", "TMPDIR=" + directory_});
  Await([this] {
    const std::vector<std::string> names = ListDirectory(directory_).value();
    for (const std::string& name : names) {
      const bool own = absl::StartsWith(name, "qsweep-selftest-");
      if (own && PathExists(Path(name + "/calm/qsweep.db"))) return true;
    }
    return false;
  });
  ASSERT_EQ(::kill(selftest.pid, SIGINT), 0);
  const Outcome outcome = End(selftest);
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  EXPECT_THAT(outcome.err, testing::HasSubstr("Everything is left for a look in"));
}

// A qctl beside a qtrain that finds no dataset; the real one finds Debian's.
TEST_F(CliTest, TheSelftestFailsAtOnceWithoutItsDataset) {
  std::filesystem::copy_file(QSWEEP_BIN_DIR "/qctl", Path("qctl"));
  Write("qtrain", "#!/bin/sh\necho '{}'\n");
  ASSERT_EQ(::chmod(Path("qtrain").c_str(), 0755), 0);
  const auto output = RunForOutput({Path("qctl"), "selftest"}, absl::Minutes(1));
  EXPECT_THAT(std::string(output.status().message()),
              testing::AllOf(testing::HasSubstr("exit code 1"),
                             testing::HasSubstr("fashion_mnist is not on this machine")));
}

}  // namespace
}  // namespace qsweep::qctl
