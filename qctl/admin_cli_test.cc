// The administrator's commands as a user meets them: a real scheduler behind TLS, a real qctl with
// credentials of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "qctl/cli_fixture.h"

namespace qsweep::qctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kScheduler[] = QSWEEP_BIN_DIR "/qscheduler";

class AdminCliTest : public CliTest {
 protected:
  // Initializes, starts and logs in, the last as a user would with the line that init prints.
  void SetUp() override {
    CliTest::SetUp();
    config_ = {absl::StrCat("XDG_CONFIG_HOME=", Path("config"))};
    // Invitations name it before anything listens; below those that the system gives to others.
    port_ = 20'000 + ::getpid() % 12'000;
    const auto init = RunForOutput({kScheduler, "init", "--data-dir", Path("data"), "--host",
                                    "localhost", "--port", absl::StrCat(port_)},
                                   absl::Minutes(1));
    ASSERT_TRUE(init.ok()) << init.status();
    StartScheduler();
    const size_t begin = init->find("qsweep1-");
    ASSERT_NE(begin, std::string::npos) << *init;
    invitation_ = init->substr(begin, init->find('\n', begin) - begin);
    const Outcome login = Qctl({"login", invitation_}, config_);
    ASSERT_EQ(login.exit_code, 0) << login.err;
    EXPECT_THAT(login.out, HasSubstr(absl::StrCat("--scheduler localhost:", port_)));
  }
  void TearDown() override {
    StopScheduler();
    CliTest::TearDown();
  }
  void StartScheduler() {
    SubprocessOptions options;
    options.argv = {kScheduler,
                    "--data-dir",
                    Path("data"),
                    "--listen",
                    absl::StrCat("localhost:", port_),
                    "--log-file",
                    Path("scheduler.log")};
    options.stderr_path = Path("scheduler.err");
    pid_ = StartSubprocess(options).value();
    Await([this] { return PathExists(Path("data/address")); });
  }
  void StopScheduler() {
    ::kill(pid_, SIGTERM);
    EXPECT_EQ(WaitSubprocess(pid_, absl::Minutes(1))->exit_code, 0)
        << ReadFile(Path("scheduler.log"), 1 << 20).value_or("");
  }
  Outcome Admin(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--scheduler", absl::StrCat("localhost:", port_)});
    return Qctl(arguments, config_);
  }

  std::vector<std::string> config_;
  std::string invitation_;
  int port_ = 0;
  pid_t pid_ = 0;
};

TEST_F(AdminCliTest, LetsPeopleInAndOut) {
  const Outcome made = Admin({"tokens", "create", "ann", "--role", "read"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::vector<std::string> line = absl::StrSplit(made.out, ' ');
  ASSERT_EQ(line.size(), 3u) << made.out;  // qctl login INVITATION
  const std::vector<std::string> ann = {absl::StrCat("XDG_CONFIG_HOME=", Path("ann"))};
  const std::string invitation(absl::StripSuffix(line[2], "\n"));
  ASSERT_EQ(Qctl({"login", invitation}, ann).exit_code, 0);
  const std::string address = absl::StrCat("localhost:", port_);
  EXPECT_EQ(Qctl({"--scheduler", address, "status"}, ann).exit_code, 0);
  const Outcome refused = Qctl({"--scheduler", address, "tokens"}, ann);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("a token for read does not allow ListTokens"));

  EXPECT_THAT(Admin({"tokens"}).out, HasSubstr("ann"));
  EXPECT_THAT(Admin({"tokens", "revoke", "2"}).out, HasSubstr("token 2 of ann (read) revoked"));
  EXPECT_THAT(Admin({"tokens"}).out, HasSubstr("revoked"));
  EXPECT_THAT(Qctl({"--scheduler", address, "status"}, ann).err, HasSubstr("no longer, good here"));
  EXPECT_THAT(Qctl({"login", invitation}, ann).err, HasSubstr("no longer, good here"));
}

TEST_F(AdminCliTest, InvitesAMachineWithOneLine) {
  const Outcome invited = Admin({"workers", "invite", "box"});
  ASSERT_EQ(invited.exit_code, 0) << invited.err;
  EXPECT_THAT(invited.out, HasSubstr("qworker --state-dir"));
  EXPECT_THAT(invited.out, HasSubstr(" --join qsweep1-"));
  EXPECT_EQ(std::count(invited.out.begin(), invited.out.end(), '\n'), 1);
  EXPECT_EQ(Admin({"workers"}).exit_code, 0);  // lists, though it has a command below it
  EXPECT_EQ(Admin({"workers", "invite", "far", "--address", "far:99999"}).exit_code, 2);
  EXPECT_THAT(Admin({"tokens"}).out, Not(HasSubstr("far")));
}

TEST_F(AdminCliTest, BacksTheDatabaseUpAndChecksIt) {
  const Outcome check = Admin({"db", "check"});
  EXPECT_EQ(check.exit_code, 0) << check.err;
  EXPECT_THAT(check.out, HasSubstr("whole"));
  const Outcome backup = Admin({"db", "backup", "copy.db"});
  ASSERT_EQ(backup.exit_code, 0) << backup.err;
  const Outcome again = Admin({"db", "backup", "copy.db"});
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("there already"));
  EXPECT_EQ(RunForOutput({kScheduler, "check", Path("copy.db")}, absl::Minutes(1)).value(),
            Path("copy.db") + ": whole\n");
  // A directory in use is not for this.
  EXPECT_THAT(
      RunForOutput({kScheduler, "check", Path("data")}, absl::Minutes(1)).status().message(),
      HasSubstr("stop it first"));
  EXPECT_EQ(Admin({"db"}).exit_code, 2);
}

TEST_F(AdminCliTest, CtrlCEndsABackupAtOnceAndLeavesNothing) {
  ASSERT_EQ(::kill(pid_, SIGSTOP), 0);
  const Started backup =
      Begin({"--scheduler", absl::StrCat("localhost:", port_), "db", "backup", "copy.db"}, config_);
  const std::string part = Path(absl::StrCat("copy.db.tmp.", backup.pid));
  Await([&part] { return PathExists(part); });
  const absl::Duration begin = SystemClock().Monotonic();
  ASSERT_EQ(::kill(backup.pid, SIGINT), 0);
  EXPECT_EQ(End(backup).exit_code, 130);
  // Before the 20 s after which it would give up by itself.
  EXPECT_LT(SystemClock().Monotonic() - begin, absl::Seconds(15));
  EXPECT_FALSE(PathExists(part));
  EXPECT_FALSE(PathExists(Path("copy.db")));
  ASSERT_EQ(::kill(pid_, SIGCONT), 0);
}

TEST_F(AdminCliTest, DoctorSaysHowItIs) {
  const Outcome doctor = Admin({"doctor"});
  EXPECT_THAT(doctor.out, HasSubstr("disk"));
  EXPECT_THAT(doctor.out, HasSubstr("good for 36"));  // days of the certificate
  EXPECT_THAT(doctor.out, HasSubstr("is its owner's alone"));
  EXPECT_THAT(Admin({"-o", "json", "doctor"}).out, HasSubstr("\"subject\": \"clock\""));
  const Outcome nowhere = Qctl({"--scheduler", "localhost:1", "doctor"}, config_);
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_THAT(nowhere.out, HasSubstr("is the address right"));
  ASSERT_EQ(Admin({"tokens", "revoke", "1"}).exit_code, 0);
  EXPECT_THAT(Admin({"doctor"}).out,
              AllOf(HasSubstr("no longer, good here"), Not(HasSubstr("is the address right"))));
}

TEST_F(AdminCliTest, ASchedulerThatListensElsewhereIsNotWaitedForInItsDirectory) {
  const absl::Duration begin = SystemClock().Monotonic();
  const Outcome status = Qctl({"--data-dir", "data", "status"}, config_);
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_THAT(status.err, HasSubstr(absl::StrCat("listens on localhost:", port_, " alone")));
  // Before the two minutes in which one that answers late is waited for.
  EXPECT_LT(SystemClock().Monotonic() - begin, absl::Minutes(1));
}

TEST_F(AdminCliTest, TellsWhatIsMissing) {
  EXPECT_THAT(Qctl({"--scheduler", "lab.example.org", "status"}, config_).err,
              HasSubstr("qctl login INVITATION"));
  const Outcome cut = Qctl({"login", invitation_.substr(0, invitation_.size() - 5)}, config_);
  EXPECT_EQ(cut.exit_code, 2);
  EXPECT_THAT(cut.err, HasSubstr("copy it whole"));
  EXPECT_THAT(ReadFile(Path("scheduler.log"), 1 << 20).value(),
              Not(HasSubstr(invitation_.substr(20, 40))));
}

}  // namespace
}  // namespace qsweep::qctl
