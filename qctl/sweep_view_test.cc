#include "qctl/sweep_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "qctl/format.h"
#include "qctl/progress_view.h"

namespace qsweep::qctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

v1::Run MakeRun(int64_t id, v1::RunState state) {
  v1::Run run;
  run.set_id(id);
  run.set_name(absl::StrCat("deit_tiny_patch16_224-cifar10-r8-nf4dq-s", id));
  run.set_state(state);
  run.set_attempt(1);
  return run;
}

v1::Run Running(int64_t id, int64_t step, double rate) {
  v1::Run run = MakeRun(id, v1::RUN_STATE_RUNNING);
  run.set_step(step);
  run.set_total_steps(1000);
  run.set_images_per_s(rate);
  run.set_worker("host1");
  return run;
}

v1::SweepUpdate MakeUpdate(int pending, const std::vector<v1::Run>& runs) {
  v1::SweepUpdate update;
  update.mutable_sweep()->set_id(3);
  update.mutable_sweep()->set_name("study");
  update.mutable_sweep()->set_pending(pending);
  for (const v1::Run& run : runs) *update.add_changed() = run;
  return update;
}

TEST(SweepProgressTest, CountsStepsOfRunningRuns) {
  SweepProgress progress;
  v1::SweepUpdate update = MakeUpdate(1, {Running(1, 250, 60), Running(2, 750, 70)});
  update.mutable_sweep()->set_running(2);
  update.mutable_sweep()->set_succeeded(1);
  progress.Apply(update, absl::Seconds(0));
  EXPECT_DOUBLE_EQ(progress.Fraction(), 0.5);
  EXPECT_DOUBLE_EQ(progress.ImagesPerSecond(), 130);
  EXPECT_EQ(progress.TimeLeft(absl::Seconds(1)), std::nullopt);  // no pace yet

  // Half a run in 30 s: the 1.5 that are left take 90 s more.
  update.clear_changed();
  *update.add_changed() = Running(1, 750, 60);
  progress.Apply(update, absl::Seconds(30));
  ASSERT_TRUE(progress.TimeLeft(absl::Seconds(30)).has_value());
  EXPECT_NEAR(absl::ToDoubleSeconds(*progress.TimeLeft(absl::Seconds(30))), 90, 1e-6);
}

TEST(SweepProgressTest, NobodyKnowsHowLongWhatDoesNotRunWillTake) {
  SweepProgress progress;
  progress.Apply(MakeUpdate(2, {Running(1, 250, 60)}), absl::Seconds(0));
  v1::SweepUpdate update = MakeUpdate(2, {Running(1, 750, 60)});
  update.mutable_sweep()->set_running(1);
  progress.Apply(update, absl::Seconds(30));
  EXPECT_THAT(ProgressLine(progress, absl::Seconds(30)), HasSubstr("left"));
  update.mutable_sweep()->set_running(0);
  update.mutable_sweep()->set_succeeded(1);
  progress.Apply(update, absl::Seconds(60));  // the others are paused
  EXPECT_THAT(ProgressLine(progress, absl::Seconds(60)), Not(HasSubstr("left")));
}

TEST(SweepProgressTest, ARunThatLeavesIsNotRunningAnyMore) {
  SweepProgress progress;
  progress.Apply(MakeUpdate(0, {Running(1, 250, 60)}), absl::Seconds(0));
  v1::Run failed = MakeRun(1, v1::RUN_STATE_FAILED);
  failed.set_ended_unix_us(5);
  progress.Apply(MakeUpdate(0, {failed}), absl::Seconds(1));
  EXPECT_TRUE(progress.running().empty());
  ASSERT_EQ(progress.ended().size(), 1u);
  progress.Apply(MakeUpdate(1, {MakeRun(1, v1::RUN_STATE_PENDING)}), absl::Seconds(2));  // retried
  EXPECT_TRUE(progress.ended().empty());
}

TEST(RenderProgressTest, ShowsBarsRatesEndedRunsAndReasons) {
  SweepProgress progress;
  v1::Run good = MakeRun(8, v1::RUN_STATE_SUCCEEDED);
  good.mutable_best()->set_top1(0.921);
  good.set_started_unix_us(1);
  good.set_ended_unix_us(63'000'001);
  v1::Run bad = MakeRun(9, v1::RUN_STATE_FAILED);
  bad.set_error("loss is not finite at step 12");
  v1::SweepUpdate update = MakeUpdate(2, {Running(1, 500, 67.2), good, bad});
  update.mutable_sweep()->set_running(1);
  update.mutable_sweep()->set_succeeded(1);
  update.mutable_sweep()->set_failed(1);
  progress.Apply(update, absl::Seconds(0));
  v1::ListRunsReply pending;
  for (const int64_t id : {4, 5}) {
    v1::Run run = MakeRun(id, v1::RUN_STATE_PENDING);
    run.set_waiting("no slot is free");
    *pending.add_runs() = run;
  }
  progress.SetPending(pending);
  EXPECT_THAT(
      RenderProgress(progress, "", absl::Seconds(1), {.columns = 110, .rows = 24},
                     Style{.utf8 = true}),
      ElementsAre(
          "study  ━━━━━━━━━━━━━━━━━━━━────────────────────   50 %  2/5 runs",
          "  1 running · 2 waiting · 1 failed · 67.2 img/s",
          "  deit_tiny_patch16_224-cifar10-r8-nf4dq-s1  ━━━━━━━━━━──────────   50 %    500/1,000"
          "   67.2 img/s  host1",
          "  ✓ deit_tiny_patch16_224-cifar10-r8-nf4dq-s8  top-1 92.10 %, 1 min 3 s",
          "  ✗ deit_tiny_patch16_224-cifar10-r8-nf4dq-s9  failed: loss is not finite at step 12",
          "  2 waiting: no slot is free"));
}

TEST(RenderProgressTest, SaysWhatIsWrongWithARunAndNoAccuracyOfWhatTrainedNothing) {
  SweepProgress progress;
  v1::Run away = Running(1, 500, 0);
  away.set_remark("its worker is out of reach");
  const v1::Run measured = MakeRun(2, v1::RUN_STATE_SUCCEEDED);
  progress.Apply(MakeUpdate(0, {away, measured}), absl::Seconds(0));
  const std::string text = absl::StrJoin(
      RenderProgress(progress, "", absl::Seconds(1), {.columns = 160, .rows = 24}, Style()), "\n");
  EXPECT_THAT(text, HasSubstr("host1: its worker is out of reach"));
  EXPECT_THAT(text, Not(HasSubstr("top-1")));
  EXPECT_EQ(DescribeRun(measured), "succeeded");
}

// Whatever the terminal, the block fits: a line that wraps would spoil the redrawing.
TEST(RenderProgressTest, FitsEveryTerminal) {
  SweepProgress progress;
  std::vector<v1::Run> runs;
  for (int64_t id = 1; id <= 40; ++id) runs.push_back(Running(id, id * 20, 1234.5));
  for (int64_t id = 50; id < 55; ++id) runs.push_back(MakeRun(id, v1::RUN_STATE_FAILED));
  v1::SweepUpdate update = MakeUpdate(100, runs);
  update.mutable_sweep()->set_running(40);
  update.mutable_sweep()->set_failed(5);
  update.mutable_sweep()->set_name("a sweep with quite a long name, longer than some terminals");
  progress.Apply(update, absl::Seconds(0));
  for (const bool utf8 : {false, true}) {
    for (size_t columns = 24; columns < 200; columns += columns < 60 ? 1 : 17) {
      for (size_t rows = 4; rows < 60; rows += 5) {
        const auto lines = RenderProgress(progress, "the scheduler is away; trying again",
                                          absl::Seconds(1), {columns, rows}, Style{.utf8 = utf8});
        EXPECT_LT(lines.size(), rows) << columns << "x" << rows;
        for (const std::string& line : lines) {
          EXPECT_LE(DisplayWidth(line), columns) << columns << "x" << rows << ": " << line;
        }
      }
    }
  }
  const auto lines = RenderProgress(progress, "", absl::Seconds(1), {100, 20}, Style());
  EXPECT_THAT(absl::StrJoin(lines, "\n"), HasSubstr("more"));
}

TEST(RenderProgressTest, NoColourWithoutColour) {
  SweepProgress progress;
  progress.Apply(MakeUpdate(1, {Running(1, 500, 67)}), absl::Seconds(0));
  const auto text = [&](const Style& style) {
    return absl::StrJoin(RenderProgress(progress, "", absl::Seconds(0), Size(), style), "\n");
  };
  EXPECT_THAT(text(Style{.utf8 = true}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(text(Style{.color = true, .utf8 = true}), HasSubstr("\x1b[36m"));
}

TEST(ProgressLineTest, OneLineSaysAll) {
  SweepProgress progress;
  v1::SweepUpdate update = MakeUpdate(2, {Running(1, 500, 134)});
  update.mutable_sweep()->set_running(1);
  update.mutable_sweep()->set_succeeded(5);
  update.mutable_sweep()->set_reused(2);
  progress.Apply(update, absl::Seconds(0));
  EXPECT_EQ(ProgressLine(progress, absl::Seconds(1)),
            "5/8 runs, 1 running, 2 waiting, 2 reused, 134 img/s");
  update.mutable_sweep()->set_waiting("no worker is connected");
  progress.Apply(update, absl::Seconds(1));
  EXPECT_THAT(ProgressLine(progress, absl::Seconds(1)),
              HasSubstr("134 img/s; waiting: no worker is connected"));
  v1::ListRunsReply pending;
  pending.add_runs()->set_waiting("every worker that fits is busy");
  progress.SetPending(pending);
  EXPECT_THAT(ProgressLine(progress, absl::Seconds(1)),
              HasSubstr("; waiting: every worker that fits is busy"));
}

// Anything but a terminal gets lines that can be kept: one for each change, nothing twice.
TEST(MakeSweepViewTest, LinesForAFile) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  const auto view = MakeSweepView(file);
  const auto update = [&](const v1::Run& run, int seconds) {
    v1::SweepUpdate update = MakeUpdate(0, {run});
    update.mutable_sweep()->set_running(run.state() == v1::RUN_STATE_RUNNING);
    update.mutable_sweep()->set_failed(run.state() == v1::RUN_STATE_FAILED);
    view->Update(update, absl::Seconds(seconds));
    view->Tick("", absl::Seconds(seconds));
  };
  update(Running(1, 0, 60), 0);
  update(Running(1, 10, 60), 1);  // only its steps have changed
  view->Tick("the scheduler is away", absl::Seconds(2));
  view->Tick("the scheduler is away", absl::Seconds(3));
  v1::Run failed = MakeRun(1, v1::RUN_STATE_FAILED);
  failed.set_error("out of\nmemory");
  update(failed, 4);
  std::rewind(file);
  std::vector<std::string> lines;
  for (char line[256]; std::fgets(line, sizeof line, file) != nullptr;) {
    lines.push_back(std::string(line).substr(9));  // after the time
  }
  std::fclose(file);
  const std::string name = failed.name();
  EXPECT_THAT(lines,
              ElementsAre(name + " running on host1\n", "study: 0/1 run, 1 running, 60.0 img/s\n",
                          "the scheduler is away\n", name + " failed: out of memory\n"));
}

TEST(MakeSweepViewTest, WhyNothingRunsIsSaidAtOnceAndOnce) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  const auto view = MakeSweepView(file);
  v1::SweepUpdate update = MakeUpdate(1, {});
  update.mutable_sweep()->set_waiting("no worker is connected");
  view->Update(update, absl::Seconds(0));
  for (int second = 1; second < 8; ++second) {
    v1::ListRunsReply pending;
    pending.add_runs()->set_waiting(second < 3 ? "no connected worker has the dataset"
                                               : absl::StrCat("retried in ", 8 - second, " s"));
    view->SetPending(pending);
    view->Tick("", absl::Seconds(second));
  }
  std::rewind(file);
  std::vector<std::string> lines;
  for (char line[256]; std::fgets(line, sizeof line, file) != nullptr;) lines.emplace_back(line);
  std::fclose(file);
  EXPECT_THAT(lines,
              ElementsAre(HasSubstr("no worker is connected"), HasSubstr("has the dataset")));
}

}  // namespace
}  // namespace qsweep::qctl
