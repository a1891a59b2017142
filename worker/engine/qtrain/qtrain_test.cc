// The real program as a run: killed, stopped, starved of disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "common/command_line.h"
#include "worker/engine/qtrain/qtrain_fixture.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

// As the scheduler keeps them: what an attempt says of steps after the checkpoint that the next one
// continues from is superseded.
void Keep(const std::vector<v1::Event>& events, Points* points) {
  ASSERT_TRUE(!events.empty() && events[0].has_started());
  const int64_t resumed_at = events[0].started().resume_step();
  for (auto it = points->begin(); it != points->end();) {
    it = it->first.second > resumed_at ? points->erase(it) : std::next(it);
  }
  for (const auto& [key, value] : ReproduciblePoints(events)) (*points)[key] = value;
}

TEST_F(QtrainTest, KilledAndStoppedRunsEndInTheSameBytes) {
  ASSERT_EQ(Run("whole").exit_code, kExitFinished);
  const std::string adapter = Adapter("whole");
  ASSERT_FALSE(adapter.empty());
  const Points whole = ReproduciblePoints(EventsIn(Directory("whole")));

  Points points;
  std::string resume;
  int64_t resumed_at = 0;
  for (int attempt = 0;; ++attempt) {
    const std::string name = absl::StrCat("attempt", attempt);
    const pid_t pid = Start(name, Command(name, resume));
    const bool last = attempt == 4;
    if (!last) {
      AwaitCheckpoints(name, 2);
      ::kill(pid, attempt % 2 == 0 ? SIGKILL : SIGTERM);
    }
    const ExitStatus exit = Wait(pid);
    if (!last && attempt % 2 == 0) {
      EXPECT_EQ(exit.signal, SIGKILL);
    } else {
      EXPECT_EQ(exit.exit_code, last ? kExitFinished : kExitStopped);
    }
    const std::vector<v1::Event> events = EventsIn(Directory(name));
    Keep(events, &points);
    EXPECT_EQ(events[0].started().resume_step(), resumed_at);
    if (last) break;
    resume = LastCheckpoint(Directory(name));
    for (const v1::Event& event : events) {
      if (event.has_checkpoint()) resumed_at = event.checkpoint().step();
    }
  }
  EXPECT_EQ(Adapter("attempt4"), adapter);
  EXPECT_EQ(points, whole);
}

// Killed in every step: each attempt gets one checkpoint further than the one before.
TEST_F(QtrainTest, KilledInEveryStepItEndsInTheSameBytes) {
  SetSpec(MiniSpec(R"({"dataset": {"train_limit": 48, "eval_limit": 20},
                       "training": {"num_epochs": 2, "checkpoint_interval": 1}})"));
  ASSERT_EQ(Run("whole").exit_code, kExitFinished);
  Points points;
  std::string resume;
  int killed = 0;
  for (int attempt = 0; attempt < 30; ++attempt) {
    const std::string name = absl::StrCat("attempt", attempt);
    const pid_t pid = Start(name, Command(name, resume));
    // With everything evaluated the last attempt writes no checkpoint more.
    for (int tries = 0; tries < 60'000 && Checkpoints(name) == 0 && !Finished(name); ++tries) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    if (!Finished(name)) ::kill(pid, SIGKILL);
    const bool ended = Wait(pid).signal != SIGKILL;
    Keep(EventsIn(Directory(name)), &points);
    if (ended) {
      EXPECT_EQ(Adapter(name), Adapter("whole"));
      EXPECT_EQ(points, ReproduciblePoints(EventsIn(Directory("whole"))));
      break;
    }
    ++killed;
    resume = LastCheckpoint(Directory(name));
  }
  EXPECT_GE(killed, 5);  // 2 epochs of 3 steps; the sixth may end before the signal comes
}

TEST_F(QtrainTest, ADirectoryIsTrainedInOnce) {
  const pid_t pid = Start("busy", Command("busy"));
  AwaitCheckpoints("busy", 1);
  EXPECT_EQ(FileLock::Holder(JoinPath(Directory("busy"), kLockFile)), pid);
  ::kill(pid, SIGSTOP);                          // or it might be done before the other has started
  EXPECT_EQ(Run("busy").exit_code, kExitUsage);  // held
  ::kill(pid, SIGINT);
  ::kill(pid, SIGCONT);
  EXPECT_EQ(Wait(pid).exit_code, kExitStopped);
  EXPECT_FALSE(FileLock::IsHeld(JoinPath(Directory("busy"), kLockFile)));
  EXPECT_EQ(Run("busy").exit_code, kExitUsage);  // used
}

TEST_F(QtrainTest, OnlyASecondCtrlCDoesNotWaitForTheCheckpoint) {
  SetSpec(MiniSpec(R"({"training": {"num_epochs": 100}})"));  // not over before the signals come
  for (const auto& [name, signals] : std::map<std::string, std::vector<int>>{
           {"terminated", {SIGTERM, SIGTERM, SIGINT}}, {"interrupted", {SIGINT, SIGTERM}}}) {
    const pid_t pid = Start(name, Command(name));
    AwaitCheckpoints(name, 1);
    for (const int signal : signals) {
      ::kill(pid, signal);
      absl::SleepFor(absl::Milliseconds(1));  // two that wait are one
    }
    EXPECT_EQ(Wait(pid).exit_code, kExitStopped);
    EXPECT_TRUE(EventsIn(Directory(name)).back().has_checkpoint());
  }
}

TEST_F(QtrainTest, AFullDiskIsTheMachinesFault) {
  // No file may grow beyond 32 KiB: a checkpoint is larger, the events are not.
  const ExitStatus exit =
      Wait(Start("full", {"/bin/sh", "-c", "ulimit -f 64; exec \"$0\" \"$@\"", kProgram, "run",
                          "--spec", spec_file_, "--dir", Directory("full"), "--threads", "1"}));
  EXPECT_EQ(exit.exit_code, kExitFailed);
  const v1::Event last = EventsIn(Directory("full")).back();
  ASSERT_TRUE(last.has_failed());
  EXPECT_EQ(last.failed().blame(), v1::BLAME_MACHINE);
  EXPECT_THAT(last.failed().message(), HasSubstr("File too large"));
}

TEST_F(QtrainTest, ClosedDescriptorsAreNotTakenByItsFiles) {
  SetSpec(MiniSpec(R"({"dataset": {"train_limit": 32, "eval_limit": 20}})"));
  const ExitStatus exit =
      Wait(Start("closed", {"/bin/sh", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", kProgram, "run",
                            "--spec", spec_file_, "--dir", Directory("closed"), "--threads", "1"}));
  EXPECT_EQ(exit.exit_code, kExitFinished);
  EXPECT_TRUE(Finished("closed"));
  const auto lock = ReadFile(JoinPath(Directory("closed"), kLockFile), 1 << 20);
  EXPECT_THAT(lock.value_or(""), testing::MatchesRegex("[0-9]+\n"));
}

TEST_F(QtrainTest, ADamagedCheckpointIsTheMachinesFault) {
  const std::string damaged = JoinPath(directory_.path(), "damaged");
  ASSERT_TRUE(WriteFileAtomic(damaged, "no checkpoint").ok());
  EXPECT_EQ(Run("damaged_run", damaged).exit_code, kExitFailed);
  const v1::Event last = EventsIn(Directory("damaged_run")).back();
  EXPECT_EQ(last.failed().blame(), v1::BLAME_MACHINE);
  EXPECT_THAT(last.failed().message(), HasSubstr(damaged));
}

TEST_F(QtrainTest, ABadSpecIsTheConfigsFault) {
  ASSERT_TRUE(WriteFileAtomic(spec_file_, R"({"model": {"name": "vit_mini_patch4_28"},
      "dataset": {"name": "fashion_mnist"}, "lora": {"rank": 0}})")
                  .ok());
  EXPECT_EQ(Run("bad").exit_code, kExitFailed);
  const v1::Event last = EventsIn(Directory("bad")).back();
  EXPECT_EQ(last.failed().blame(), v1::BLAME_CONFIG);
  EXPECT_THAT(last.failed().message(), HasSubstr("lora.rank"));
}

}  // namespace
}  // namespace qsweep::engine
