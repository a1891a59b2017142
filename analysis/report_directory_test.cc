// The directory that a report is: made whole or not at all, and nobody else's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "analysis/output_directory.h"
#include "analysis/report_fixture.h"

namespace qsweep {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST_F(ReportTest, TheSameDataGivesTheSameBytes) {
  const testing::TestSweep test = testing::MakeSweep({8}, 2, 20);
  ASSERT_TRUE(Write(test).ok());
  const std::string before = Text("quantization_detailed_analysis.json");
  ASSERT_TRUE(Write(test).ok());  // an earlier report is replaced
  EXPECT_EQ(Text("quantization_detailed_analysis.json"), before);
  EXPECT_THAT(ListDirectory(root_).value_or(std::vector<std::string>()),
              UnorderedElementsAre("out"));
}

TEST_F(ReportTest, OthersContentIsNeverTouched) {
  ASSERT_TRUE(MakeDirectories(Out("notes")).ok());
  ASSERT_TRUE(WriteFileAtomic(Out("notes/mine.txt"), "years of work").ok());
  const absl::Status refused = Write(testing::MakeSweep({8}, 1, 5));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("notes/mine.txt"));
  EXPECT_EQ(Text("notes/mine.txt"), "years of work");
  // Nor in a report to which something was added.
  ASSERT_TRUE(RemoveTree(Out()).ok());
  ASSERT_TRUE(Write(testing::MakeSweep({8}, 1, 5)).ok());
  ASSERT_TRUE(WriteFileAtomic(Out("logs/mine.txt"), "more").ok());
  EXPECT_FALSE(Write(testing::MakeSweep({8}, 1, 5)).ok());
  EXPECT_EQ(Text("logs/mine.txt"), "more");
  // A file in its place.
  ASSERT_TRUE(RemoveTree(Out()).ok());
  ASSERT_TRUE(WriteFileAtomic(Out(), "a file").ok());
  EXPECT_FALSE(Write(testing::MakeSweep({8}, 1, 5)).ok());
}

TEST_F(ReportTest, ADirectoryMayBeWrittenInMoreWaysThanOneButNeedsAName) {
  const auto write = [](const std::string& directory) {
    const testing::TestSweep test = testing::MakeSweep({8}, 1, 5);
    return WriteReport(test.sweep, test.Runs(), test.Reader(),
                       {.directory = directory, .figures = false});
  };
  EXPECT_TRUE(write(Out("//")).ok());
  EXPECT_TRUE(write(root_ + "/none/../out/.").ok());
  EXPECT_TRUE(PathExists(Out("report.html")));
  // It would be built within itself.
  const std::string here = fs::current_path();
  ASSERT_TRUE(MakeDirectories(root_ + "/empty").ok());
  fs::current_path(root_ + "/empty");
  for (const char* nameless : {"", ".", "./", "..", "/"}) {
    EXPECT_EQ(write(nameless).code(), absl::StatusCode::kInvalidArgument) << nameless;
  }
  fs::current_path(here);
  EXPECT_THAT(ListDirectory(root_).value_or(std::vector<std::string>()),
              UnorderedElementsAre("empty", "out"));
}

TEST_F(ReportTest, AnErrorLeavesNothingBehind) {
  testing::TestSweep test = testing::MakeSweep({8}, 1, 5);
  const absl::Status failed =
      WriteReport(test.sweep, test.Runs(),
                  [&test](const v1::Run& run) -> absl::StatusOr<RunRecord> {
                    if (run.id() == 3) return absl::UnavailableError("the scheduler has gone");
                    return test.Reader()(run);
                  },
                  {.directory = Out(), .figures = false});
  EXPECT_EQ(failed.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(ListDirectory(root_).value_or(std::vector<std::string>{"?"}), IsEmpty());
}

TEST_F(ReportTest, AFullDiskIsAnErrorAndLeavesNothingBehind) {
  // The nearest a test comes to a full disk without one: no file may grow beyond 2 kB.
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{2000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status failed = Write(testing::MakeSweep({8}, 1, 50));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.message()), HasSubstr("json"));
  EXPECT_THAT(ListDirectory(root_).value_or(std::vector<std::string>{"?"}), IsEmpty());
}

TEST_F(ReportTest, WithoutGnuplotItSaysSoBeforeItBegins) {
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", root_.c_str(), 1);
  const testing::TestSweep test = testing::MakeSweep({8}, 1, 5);
  const absl::Status failed =
      WriteReport(test.sweep, test.Runs(), test.Reader(), {.directory = Out()});
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(failed.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("gnuplot-nox"));
  EXPECT_THAT(ListDirectory(root_).value_or(std::vector<std::string>{"?"}), IsEmpty());
}

TEST_F(ReportTest, ARunMayHaveAnyName) {
  testing::TestSweep test = testing::MakeSweep({8}, 1, 5);
  const std::string names[] = {"logs", "../../etc", "a$b`c;rm -rf ~\"<script>",
                               std::string(300, 'x')};
  for (size_t i = 0; i < 4; ++i) test.records[i].detail.mutable_run()->set_name(names[i]);
  ASSERT_TRUE(Write(test).ok());
  EXPECT_TRUE(PathExists(Out("%logs/results.json")));
  EXPECT_TRUE(PathExists(Out("%2E.%2F..%2Fetc/results.json")));
  EXPECT_EQ(Json("a%24b%60c%3Brm%20-rf%20%7E%22%3Cscript%3E/results.json")["run"], names[2]);
  for (const auto& entry : fs::directory_iterator(Out())) {
    EXPECT_LE(entry.path().filename().string().size(), 200u);
  }
}

TEST(PathNameTest, DifferentTextsGetDifferentNames) {
  EXPECT_EQ(PathName("plain-1.0_x+y=z"), "plain-1.0_x+y=z");
  EXPECT_EQ(PathName(".hidden"), "%2Ehidden");
  EXPECT_EQ(PathName("ü"), "%C3%BC");
  EXPECT_EQ(PathName(""), "%");
  EXPECT_NE(PathName(std::string(300, 'a') + "1"), PathName(std::string(300, 'a') + "2"));
}

}  // namespace
}  // namespace qsweep
