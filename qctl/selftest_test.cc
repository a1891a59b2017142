// qctl selftest as far as it is its own: what it trains with, run_test shows.
#include <gmock/gmock.h>
#include <signal.h>

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

TEST_F(CliTest, TheSelftestFailsAtOnceWithoutItsDataset) {
  // Else Debian's package would do.
  ASSERT_TRUE(MakeDirectories(Path("fashion-mnist")).ok());
  const Outcome outcome = Qctl({"selftest", "--data-root", directory_}, {"TMPDIR=" + directory_});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, testing::HasSubstr("fashion_mnist is not on this machine"));
}

}  // namespace
}  // namespace qsweep::qctl
