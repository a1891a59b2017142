// Sessions, leases and time: when an attempt is whose.
#include "scheduler/core/core_fixture.h"

namespace qsweep::core {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(CoreTest, ALeaseExpiresOnlyAfterItsTime) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  EXPECT_EQ(RunRemark(state_, now_, Get(run)), "");
  OnDisconnect(state_, worker);
  Pass(kLease - absl::Seconds(1));
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_RUNNING);
  EXPECT_THAT(RunRemark(state_, now_, Get(run)), testing::HasSubstr("out of reach"));
  Pass(absl::Seconds(1));
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  EXPECT_EQ(Get(run).machine_faults, 0);
}

TEST_F(CoreTest, HeartbeatsKeepALeaseAndSilenceOnAnOpenStreamEndsIt) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  for (int i = 0; i < 10; ++i) {
    Pass(kLease / 2);
    Beat(worker, {Live(run)}, i);
  }
  EXPECT_EQ(Live(run).number, AttemptNumber(1));
  Take();
  Pass(kLease);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  EXPECT_THAT(effects_.closed, ElementsAre(testing::Field(&Closing::session, worker)));
}

TEST_F(CoreTest, AWorkerThatReturnsInTimeKeepsItsRunAndItsOffset) {
  const RunId run = SubmitOne(Key(1));
  OnDisconnect(state_, Connect("w"));
  const AttemptId attempt = Live(run);
  OnEvents(state_.runs.at(run), now_, 123, 7, 100);
  Pass(kLease / 2);
  const SessionNumber again = Connect("w", {attempt});
  const v1::HeldVerdict verdict = LastTo(again, v1::ToWorker::kWelcome)->welcome().verdicts(0);
  EXPECT_TRUE(verdict.keep());
  EXPECT_EQ(verdict.acked_offset(), 123u);
  EXPECT_EQ(Live(run), attempt);
}

TEST_F(CoreTest, AWorkerThatReturnsTooLateIsTold) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber old = Connect("w");
  const AttemptId attempt = Live(run);
  OnDisconnect(state_, old);
  Pass(kLease);
  const SessionNumber other = Connect("v");
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
  const SessionNumber again = Connect("w", {attempt});
  EXPECT_FALSE(LastTo(again, v1::ToWorker::kWelcome)->welcome().verdicts(0).keep());
  EXPECT_EQ(FindLive(state_, again, attempt), nullptr);
  EXPECT_EQ(FindLive(state_, again, Live(run)), nullptr);  // right attempt, wrong worker
  EXPECT_NE(FindLive(state_, other, Live(run)), nullptr);
  Succeed(again, attempt);  // acknowledged, without effect
  EXPECT_TRUE(LastTo(again, v1::ToWorker::kEndedAck));
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
}

TEST_F(CoreTest, AnAttemptThatItsWorkerDoesNotHoldIsLostAtOnce) {
  const RunId run = SubmitOne(Key(1));
  OnDisconnect(state_, Connect("w"));
  Connect("w");
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
}

TEST_F(CoreTest, WhatAWorkerStillHoldsKeepsItsRoomUntilItIsGone) {
  const RunId run = SubmitOne(Key(1));
  OnDisconnect(state_, Connect("w"));
  const AttemptId lost = Live(run);
  Pass(kLease);
  const SessionNumber again = Connect("w", {lost});  // its trainer is alive still
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  Beat(again, {lost});
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  Beat(again);
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
}

TEST_F(CoreTest, ANewSessionClosesTheOldOne) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber old = Connect("w");
  const AttemptId attempt = Live(run);
  const SessionNumber now = Connect("w", {attempt});
  EXPECT_THAT(effects_.closed, ElementsAre(testing::Field(&Closing::session, old)));
  EXPECT_TRUE(effects_.closed[0].replaced);
  OnDisconnect(state_, old);  // comes late
  EXPECT_EQ(FindLive(state_, old, attempt), nullptr);
  EXPECT_NE(FindLive(state_, now, attempt), nullptr);
}

TEST_F(CoreTest, TimeInWhichTheSchedulerStoodStillCountsForNobody) {
  const RunId run = SubmitOne(Key(1));
  OnDisconnect(state_, Connect("w"));
  now_ += absl::Hours(1);  // stopped, or the machine slept
  Tick();
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_RUNNING);
  Pass(kLease);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
}

TEST_F(CoreTest, ARestartGivesEveryLeaseItsFullTime) {
  core::Run run = MakeRun(Key(1));
  run.acked_offset = 77;
  const AttemptId attempt = Restart(run);
  EXPECT_THAT(effects_.changes, IsEmpty());
  Pass(kLease - absl::Seconds(1));
  const SessionNumber worker = Connect("w", {attempt});
  EXPECT_EQ(LastTo(worker, v1::ToWorker::kWelcome)->welcome().verdicts(0).acked_offset(), 77u);
}

TEST_F(CoreTest, ARunThatWasStoppingForAPauseIsToldAgainAfterARestart) {
  core::Run run = MakeRun(Key(1));
  run.paused = true;
  const SessionNumber worker = Connect("w", {Restart(run)});
  ASSERT_TRUE(LastTo(worker, v1::ToWorker::kStop));
  EXPECT_TRUE(LastTo(worker, v1::ToWorker::kStop)->stop().checkpoint());
}

TEST_F(CoreTest, GoodbyeFreesRunsAtOnce) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  Connect("v");
  OnGoodbye(state_, now_, worker, "shut down", Out());
  Tick();
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
  EXPECT_EQ(Get(run).worker, WorkerId("v"));
  EXPECT_THAT(effects_.closed, ElementsAre(testing::Field(&Closing::session, worker)));
}

TEST_F(CoreTest, TimeInWhichTheSchedulerStoodStillIsNotTakenFromARunThatStops) {
  const RunId run = SubmitOne(Key(1));
  Connect("w");
  OnPause(state_, now_, {run}, Out());
  now_ += absl::Hours(1);
  Tick();
  EXPECT_EQ(Live(run).number, AttemptNumber(1));  // its last words are on their way
  Pass(absl::Seconds(30));
  EXPECT_EQ(Live(run).number, AttemptNumber(1));
}

}  // namespace
}  // namespace qsweep::core
