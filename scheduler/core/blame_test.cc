// Who is to answer for a failure, and what follows.
#include "scheduler/core/core_fixture.h"

namespace qsweep::core {
namespace {

using testing::HasSubstr;

TEST_F(CoreTest, ConfigFailsAtOnce) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  End(worker, Live(run), v1::BLAME_CONFIG);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_FAILED);
  const auto moved = std::find_if(effects_.changes.begin(), effects_.changes.end(),
                                  [](auto& c) { return std::holds_alternative<RunMoved>(c); });
  EXPECT_EQ(std::get<RunMoved>(*moved).error, "it broke");
}

TEST_F(CoreTest, ResourcesFailTheThirdTime) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  End(worker, Live(run), v1::BLAME_RESOURCES);
  End(worker, Live(run), v1::BLAME_RESOURCES);
  End(worker, Live(run), v1::BLAME_RESOURCES);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_FAILED);
  EXPECT_EQ(Get(run).attempt, AttemptNumber(3));
}

TEST_F(CoreTest, ARunOutOfMemoryGoesElsewhereIfThereIsAnElsewhere) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber first = Connect("a");
  Connect("b");
  End(first, Live(run), v1::BLAME_RESOURCES);
  EXPECT_EQ(Get(run).worker, WorkerId("b"));
}

TEST_F(CoreTest, WhatWasNobodysFaultIsNotTriedAgainInATightCircle) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  End(worker, Live(run), v1::BLAME_CONTROL_PLANE);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  EXPECT_THAT(Reason(run), HasSubstr("retried in"));
}

TEST_F(CoreTest, AMachinesFaultIsRetriedElsewhereAfterABackOff) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber bad = Connect("a");
  Connect("b");
  End(bad, Live(run), v1::BLAME_MACHINE);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  EXPECT_EQ(Reason(run), "retried in 1 s: it broke");
  Pass(absl::Seconds(2));
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
  EXPECT_EQ(Get(run).worker, WorkerId("b"));
}

TEST_F(CoreTest, BackOffsDoubleUpToAMinute) {
  state_.policy.quarantine_after = 100;  // or the worker would rest
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  std::vector<double> pauses;
  while (Get(run).state != v1::RUN_STATE_FAILED) {
    End(worker, Live(run), v1::BLAME_MACHINE);
    const Time begin = now_;
    while (Get(run).state == v1::RUN_STATE_PENDING) {
      Beat(worker);
      now_ += absl::Milliseconds(500);
      Tick();
    }
    if (Get(run).state != v1::RUN_STATE_RUNNING) break;
    pauses.push_back(absl::ToDoubleSeconds(now_ - begin));
  }
  EXPECT_THAT(pauses, testing::ElementsAre(0.5, 1, 2, 4, 8, 16, 32, 60, 60));
}

// Nor does it help to get as far as before each time.
TEST_F(CoreTest, FaultsOfMachinesAloneCannotLoopForEver) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  int attempts = 0;
  while (Get(run).state != v1::RUN_STATE_FAILED && attempts < 100) {
    if (Get(run).state == v1::RUN_STATE_RUNNING) {
      ++attempts;
      Beat(worker, {Live(run)}, 5);
      End(worker, Live(run), v1::BLAME_MACHINE);
    } else {
      Beat(worker);
      Pass(absl::Seconds(10));
    }
  }
  EXPECT_EQ(attempts, state_.policy.max_machine_faults);
}

TEST_F(CoreTest, GettingFurtherClearsTheFaultsOfARun) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  for (int i = 1; i <= 20; ++i) {
    while (Get(run).state == v1::RUN_STATE_PENDING) {
      Beat(worker);
      Pass(absl::Seconds(5));
    }
    Beat(worker, {Live(run)}, 10 * i);
    OnCheckpoint(state_, state_.runs.at(run), 10 * i - 5, Out());
    End(worker, Live(run), v1::BLAME_MACHINE);
  }
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  EXPECT_EQ(Get(run).machine_faults, 1);
  EXPECT_EQ(Get(run).resume_step, 195);
}

TEST_F(CoreTest, AWorkerWithRepeatedFaultsIsTriedWithOneRun) {
  Submit({MakeRun(Key(1)), MakeRun(Key(2)), MakeRun(Key(3)), MakeRun(Key(4))});
  const SessionNumber worker = Connect("w", {}, 4);
  for (int i = 1; i <= 3; ++i) End(worker, Live(RunId(i)), v1::BLAME_MACHINE);
  const Worker& w = state_.workers.at(WorkerId("w"));
  Pass(absl::Seconds(4));
  EXPECT_EQ(w.running.size(), 1u);  // the fourth, from before
  Succeed(worker, Live(RunId(4)));
  EXPECT_EQ(w.running.size(), 3u);  // passed
}

TEST_F(CoreTest, ACheckpointClearsAWorkersFaults) {
  Submit({MakeRun(Key(1)), MakeRun(Key(2)), MakeRun(Key(3)), MakeRun(Key(4))});
  const SessionNumber worker = Connect("w", {}, 4);
  End(worker, Live(RunId(1)), v1::BLAME_MACHINE);
  End(worker, Live(RunId(2)), v1::BLAME_MACHINE);
  OnCheckpoint(state_, state_.runs.at(RunId(3)), 10, Out());
  End(worker, Live(RunId(4)), v1::BLAME_MACHINE);
  EXPECT_EQ(state_.workers.at(WorkerId("w")).faults, 1);
}

TEST_F(CoreTest, HundredsOfRunsAreNotFailedByOneBadMachine) {
  std::vector<core::Run> runs;
  for (int i = 0; i < 300; ++i) runs.push_back(MakeRun(Key(i)));
  Submit(std::move(runs));
  const SessionNumber bad = Connect("bad", {}, 4);
  int faults = 0;
  for (int second = 0; second < 600; ++second) {
    const std::set<RunId> running = state_.workers.at(WorkerId("bad")).running;
    for (const RunId id : running) {
      End(bad, Live(id), v1::BLAME_MACHINE);
      ++faults;
    }
    Beat(bad);
    Pass(absl::Seconds(1));
  }
  EXPECT_EQ(state_.sweeps.at(SweepId(1)).count[v1::RUN_STATE_FAILED], 0);
  EXPECT_LT(faults, 20);  // 4 at once, then 5, 10, 20, ... 300 s apart
}

TEST_F(CoreTest, AHungRunIsStoppedAndRetried) {
  state_.policy.hung_after = absl::Minutes(10);
  state_.policy.lease = absl::Minutes(5);
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  const AttemptId first = Live(run);
  for (int minute = 1; minute < 30; ++minute) {  // it moves for 20 minutes, then no more
    Beat(worker, {first}, std::min(minute, 20));
    Pass(absl::Seconds(59));
    ASSERT_EQ(Live(run), first);
    Pass(absl::Seconds(1));
  }
  Pass(absl::Minutes(1));
  EXPECT_TRUE(LastTo(worker, v1::ToWorker::kStop));
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);  // the slot is not free yet
  Beat(worker);
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
}

TEST_F(CoreTest, SuccessWithoutAResultIsAFaultOfTheMachine) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  End(worker, Live(run), v1::BLAME_UNSPECIFIED, true, /*has_result=*/false);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  EXPECT_EQ(Get(run).machine_faults, 1);
}

TEST_F(CoreTest, ARunThatSaysSomethingOrWhoseUploadsTheSchedulerPutsOffIsNotHung) {
  state_.policy.hung_after = absl::Minutes(10);
  state_.policy.lease = absl::Minutes(5);
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  const AttemptId first = Live(run);
  for (int minute = 0; minute < 40; ++minute) {
    if (minute < 20) {  // lines for its log
      OnEvents(state_.runs.at(run), now_, 100 * minute, 0, 0);
    } else {  // its trainer has ended: nothing moves
      OnUploadPutOff(state_, now_, run);
    }
    Beat(worker, {first}, 20);
    Pass(absl::Minutes(1));
    ASSERT_EQ(Live(run), first);
  }
}

}  // namespace
}  // namespace qsweep::core
