// qctl selftest as far as it is its own: what it trains with, run_test shows.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/proto_json.h"
#include "qctl/cli_fixture.h"
#include "qsweep/v1/admin.pb.h"

namespace qsweep::qctl {
namespace {

TEST_F(CliTest, TheSelftestHasASchedulerOfItsOwn) {
  const Started selftest =
      Begin({"selftest"}, {"QSWEEP_SCHEDULER=unix:nobody.sock", "TMPDIR=" + directory_.path()});
  Await([this] {
    const std::vector<std::string> names = ListDirectory(directory_.path()).value();
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

class SelftestTest : public CliTest {
 protected:
  // A qctl and its daemons beside a trainer of the test's.
  void Install(const std::string& qtrain) {
    for (const char* program : {"qctl", "qscheduler", "qworker"}) {
      std::filesystem::copy_file(JoinPath(QSWEEP_BIN_DIR, program), Path(program));
    }
    Write("qtrain", "#!/bin/sh\n" + qtrain);
    ASSERT_EQ(::chmod(Path("qtrain").c_str(), 0755), 0);
  }
  absl::StatusOr<std::string> Shell(const std::string& command) {
    return RunForOutput({"/bin/sh", "-c", "export TMPDIR=$PWD; " + command}, absl::Minutes(1),
                        directory_.path());
  }
};

// The real trainer finds Debian's.
TEST_F(SelftestTest, FailsAtOnceWithoutItsDataset) {
  Install("echo '{}'\n");
  EXPECT_THAT(std::string(Shell("./qctl selftest").status().message()),
              testing::AllOf(testing::HasSubstr("exit code 1"),
                             testing::HasSubstr("fashion_mnist is not on this machine")));
}

TEST_F(SelftestTest, NamesTheRunThatEndsOtherwiseUnderChaos) {
  // Of the two sweeps' eight runs one tells of weights that it was made from.
  Install(R"(
case "$*" in
  probe*) echo '{"device": "cpu", "cores": 2, "datasets": ["fashion_mnist"]}' ;;
  */chaos/*/run-3-*) exec )" QSWEEP_FAKE_QTRAIN R"( "$@" --weights "$0" ;;
  *) exec )" QSWEEP_FAKE_QTRAIN R"( "$@" ;;
esac
)");
  // Done before the first strike comes.
  const auto output = Shell("! ./qctl selftest --chaos --pause 60 -o json");
  ASSERT_TRUE(output.ok()) << output.status();
  v1::SelftestReport report;
  ASSERT_TRUE(FromJson(*output, &report).ok()) << *output;
  EXPECT_EQ(report.runs(), 4);
  EXPECT_THAT(report.different(),
              testing::ElementsAre("vit_mini_patch4_28-fashion_mnist-full-none-s3"));
}

}  // namespace
}  // namespace qsweep::qctl
