#include "common/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/version.h"

namespace qsweep {
namespace {

// A program with an option of each kind, and what a line makes of it.
class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() {
    program_.RequireCommand();
    program_.AddOption("-n,--name", &name_, "").Environment("QSWEEP_TEST_NAME");
    Command run = program_.AddCommand("run", "", [this] { done_ += "run"; });
    run.AddOption("FILE", &files_, "").Required();
    run.AddOption("--slots", &slots_, "").Between(1, 8);
    run.AddOption("--kind", &kind_, "").OneOf({"csv", "jsonl"});
    run.AddOption("--only", &only_, "").CommaSeparated();
    run.AddBytes("--memory", &memory_, "");
    run.AddFlag("--dry", &dry_, "");
    program_.AddCommand("db", "").AddCommand("check", "", [this] { done_ += "check"; });
    Command list = program_.AddCommand("list", "", [this] { done_ += "list"; });
    list.AddCommand("more", "", [this] { done_ += "more"; });
  }

  std::optional<int> Parse(std::vector<std::string> words) {
    words.insert(words.begin(), "tool");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    return program_.Parse(static_cast<int>(argv.size()), argv.data());
  }
  // What is said of a wrong line.
  std::string Complaint(const std::vector<std::string>& words) {
    testing::internal::CaptureStderr();
    const std::optional<int> code = Parse(words);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(code, 2) << said;
    return said;
  }

  Program program_{"tool", "Does things."};
  std::string name_ = "nobody", kind_, done_;
  std::vector<std::string> files_, only_;
  int slots_ = 1;
  int64_t memory_ = int64_t{512} << 20;
  bool dry_ = false;
};

TEST_F(CommandLineTest, ReadsValues) {
  EXPECT_EQ(Parse({"run", "a", "--slots", "3", "--kind=csv", "--only", "x,y", "--memory", "4G",
                   "--dry", "-n", "me"}),
            std::nullopt);
  EXPECT_EQ(done_, "run");
  EXPECT_EQ(files_, std::vector<std::string>({"a"}));
  EXPECT_EQ(slots_, 3);
  EXPECT_EQ(kind_, "csv");
  EXPECT_EQ(only_, std::vector<std::string>({"x", "y"}));
  EXPECT_EQ(memory_, int64_t{4} << 30);
  EXPECT_TRUE(dry_);
  EXPECT_EQ(name_, "me");  // an option of the program, behind the command's name
}

TEST_F(CommandLineTest, KeepsWhatIsNotOnTheLine) {
  EXPECT_EQ(Parse({"run", "a"}), std::nullopt);
  EXPECT_EQ(name_, "nobody");
  EXPECT_EQ(slots_, 1);
  EXPECT_EQ(memory_, int64_t{512} << 20);
  EXPECT_FALSE(dry_);
}

TEST_F(CommandLineTest, ReadsTheEnvironment) {
  setenv("QSWEEP_TEST_NAME", "variable", 1);
  EXPECT_EQ(Parse({"run", "a"}), std::nullopt);
  unsetenv("QSWEEP_TEST_NAME");
  EXPECT_EQ(name_, "variable");
}

TEST_F(CommandLineTest, DoesTheLastCommandNamed) {
  EXPECT_EQ(Parse({"list"}), std::nullopt);
  EXPECT_EQ(done_, "list");
  done_.clear();
  EXPECT_EQ(Parse({"list", "more"}), std::nullopt);
  EXPECT_EQ(done_, "more");
}

// The wording between is CLI11's, and differs from version to version.
TEST_F(CommandLineTest, SaysWhatIsWrongAndWhereHelpIs) {
  const auto says = [](const std::string& what) {
    return testing::MatchesRegex("tool: .*" + what +
                                 ".*; see tool --help or tool COMMAND --help\n");
  };
  EXPECT_THAT(Complaint({"run", "a", "--slots", "9"}), says("--slots.*9"));
  EXPECT_THAT(Complaint({"run", "a", "--kind", "xml"}), says("--kind.*xml.*csv,jsonl"));
  for (const char* bytes : {"much", "-1", "9E"}) {
    EXPECT_THAT(Complaint({"run", "a", "--memory", bytes}), says("--memory"));
  }
  EXPECT_THAT(Complaint({"run", "a", "--unknown"}), says("--unknown"));
  EXPECT_THAT(Complaint({"rnu", "a"}), says("no command 'rnu'; did you mean run."));
  EXPECT_THAT(Complaint({"db", "chekc"}), says("no command 'chekc'; did you mean check."));
  EXPECT_THAT(Complaint({"--unknown", "rnu"}), says("--unknown"));
  EXPECT_THAT(Complaint({"run"}), says("FILE is required"));
  EXPECT_THAT(Complaint({"db"}), says("one of check is required"));
  EXPECT_THAT(Complaint({}), says("one of run, db, list is required"));
}

TEST_F(CommandLineTest, HelpsAndNamesItsVersion) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"--version"}), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), std::string("tool ") + kVersion + "\n");
  testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"run", "--help"}), 0);
  const std::string help = testing::internal::GetCapturedStdout();
  EXPECT_THAT(help, testing::ContainsRegex("--memory BYTES.*512M"));
  EXPECT_THAT(help, testing::HasSubstr("{csv,jsonl}"));
}

}  // namespace
}  // namespace qsweep
