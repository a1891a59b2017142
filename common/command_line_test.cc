#include "common/command_line.h"

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
  uint64_t memory_ = uint64_t{512} << 20;
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
  EXPECT_EQ(memory_, uint64_t{4} << 30);
  EXPECT_TRUE(dry_);
  EXPECT_EQ(name_, "me");  // an option of the program, behind the command's name
}

TEST_F(CommandLineTest, KeepsWhatIsNotOnTheLine) {
  EXPECT_EQ(Parse({"run", "a"}), std::nullopt);
  EXPECT_EQ(name_, "nobody");
  EXPECT_EQ(slots_, 1);
  EXPECT_EQ(memory_, uint64_t{512} << 20);
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

TEST_F(CommandLineTest, SaysWhatIsWrong) {
  EXPECT_EQ(Complaint({"run", "a", "--slots", "9"}),
            "tool: --slots: Value 9 not in range 1 to 8; see tool --help or tool COMMAND --help\n");
  EXPECT_EQ(Complaint({"run", "a", "--kind", "xml"}),
            "tool: --kind: xml not in {csv,jsonl}; see tool --help or tool COMMAND --help\n");
  EXPECT_EQ(Complaint({"run"}), "tool: FILE is required; see tool --help or tool COMMAND --help\n");
  EXPECT_EQ(Complaint({"db"}),
            "tool: one of check is required; see tool --help or tool COMMAND --help\n");
  EXPECT_EQ(Complaint({}),
            "tool: one of run, db, list is required; see tool --help or tool COMMAND --help\n");
  EXPECT_NE(Complaint({"run", "a", "--memory", "much"}).find("--memory"), std::string::npos);
  EXPECT_NE(Complaint({"run", "a", "--unknown"}).find("--unknown"), std::string::npos);
}

TEST_F(CommandLineTest, HelpsAndNamesItsVersion) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"--version"}), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), std::string("tool ") + kVersion + "\n");
  testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"run", "--help"}), 0);
  const std::string help = testing::internal::GetCapturedStdout();
  EXPECT_NE(help.find("=512M"), std::string::npos) << help;  // a default
  EXPECT_NE(help.find("{csv,jsonl}"), std::string::npos) << help;
}

}  // namespace
}  // namespace qsweep
