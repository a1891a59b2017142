// What people ask for: cancel, retry, pause, drain, priorities.
#include "scheduler/core/core_fixture.h"

namespace qsweep::core {
namespace {

TEST_F(CoreTest, CancelEndsWhatIsPendingAndStopsWhatRuns) {
  Submit({MakeRun(Key(1)), MakeRun(Key(2))});
  const SessionNumber worker = Connect("w");
  const AttemptId attempt = Live(RunId(1));
  EXPECT_EQ(OnCancel(state_, now_, {RunId(1), RunId(2)}, Out()), 2);
  Tick();
  EXPECT_EQ(Get(RunId(1)).state, v1::RUN_STATE_CANCELLED);
  EXPECT_FALSE(LastTo(worker, v1::ToWorker::kStop)->stop().checkpoint());
  EXPECT_EQ(OnCancel(state_, now_, {RunId(1), RunId(2)}, Out()), 0);

  // Its slot is free only once its trainer is gone.
  const RunId next = SubmitOne(Key(3));
  Beat(worker, {attempt});
  EXPECT_EQ(Get(next).state, v1::RUN_STATE_PENDING);
  Beat(worker);
  EXPECT_EQ(Get(next).state, v1::RUN_STATE_RUNNING);
  EXPECT_EQ(state_.workers.at(WorkerId("w")).reserved_bytes, 1000);
}

TEST_F(CoreTest, AHeartbeatFromBeforeTheStopFreesNoRoom) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  OnCancel(state_, now_, {run}, Out());
  const RunId next = SubmitOne(Key(2));
  // When it was sent, neither the assignment had arrived nor the stop.
  OnHeartbeat(state_, now_, worker, v1::Heartbeat(), Out());
  Tick();
  EXPECT_EQ(Get(next).state, v1::RUN_STATE_PENDING);
  Beat(worker);
  EXPECT_EQ(Get(next).state, v1::RUN_STATE_RUNNING);
}

TEST_F(CoreTest, RetryBeginsAgainFromTheCheckpoint) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  OnCheckpoint(state_, state_.runs.at(run), 40, Out());
  End(worker, Live(run), v1::BLAME_CONFIG);
  Take();
  EXPECT_EQ(OnRetry(state_, now_, {run}, Out()), 1);
  Tick();
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
  EXPECT_EQ(LastTo(worker, v1::ToWorker::kAssign)->assign().resume_step(), 40);
  EXPECT_TRUE(state_.sweeps.at(SweepId(1)).open());
  EXPECT_EQ(OnRetry(state_, now_, {run}, Out()), 0);
}

TEST_F(CoreTest, ARetryBeginsWithCleanCountsAndAvoidsNobody) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  End(worker, Live(run), v1::BLAME_RESOURCES);
  End(worker, Live(run), v1::BLAME_RESOURCES);
  End(worker, Live(run), v1::BLAME_CONFIG);
  OnRetry(state_, now_, {run}, Out());
  EXPECT_TRUE(Get(run).avoided.empty());
  Tick();
  End(worker, Live(run), v1::BLAME_RESOURCES);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_RUNNING);  // the first of three
}

TEST_F(CoreTest, APausedRunWritesACheckpointStopsAndWaitsUntilItIsResumed) {
  Submit({MakeRun(Key(1)), MakeRun(Key(2))});
  const SessionNumber worker = Connect("w");
  const AttemptId attempt = Live(RunId(1));
  EXPECT_EQ(OnPause(state_, now_, {RunId(1), RunId(2)}, Out()), 2);
  EXPECT_EQ(OnPause(state_, now_, {RunId(1), RunId(2)}, Out()), 0);
  EXPECT_TRUE(LastTo(worker, v1::ToWorker::kStop)->stop().checkpoint());
  EXPECT_EQ(Live(RunId(1)), attempt);  // until the worker says that it has stopped
  OnCheckpoint(state_, state_.runs.at(RunId(1)), 7, Out());
  End(worker, attempt, v1::BLAME_CONTROL_PLANE);
  Pass(kLease / 2);
  Beat(worker);
  EXPECT_EQ(Reason(RunId(1)), "paused");
  EXPECT_EQ(Reason(RunId(2)), "paused");
  EXPECT_EQ(state_.sweeps.at(SweepId(1)).paused, 2);

  EXPECT_EQ(OnResume(state_, now_, {RunId(1), RunId(2)}, Out()), 2);
  Tick();
  EXPECT_EQ(Live(RunId(1)).number, AttemptNumber(2));
  EXPECT_EQ(LastTo(worker, v1::ToWorker::kAssign)->assign().resume_step(), 7);
  EXPECT_EQ(state_.sweeps.at(SweepId(1)).paused, 0);
}

TEST_F(CoreTest, ARunThatDoesNotStopInTimeIsKilled) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  const AttemptId attempt = Live(run);
  OnPause(state_, now_, {run}, Out());
  for (absl::Duration waited; waited < state_.policy.stop_patience; waited += kLease / 3) {
    Beat(worker, {attempt});
    EXPECT_EQ(Live(run), attempt);
    Pass(kLease / 3);
  }
  EXPECT_FALSE(LastTo(worker, v1::ToWorker::kStop)->stop().checkpoint());
  EXPECT_EQ(Reason(run), "paused");
}

TEST_F(CoreTest, ARunWhoseLastUploadIsPutOffIsNotKilledForIt) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  const AttemptId attempt = Live(run);
  OnPause(state_, now_, {run}, Out());
  for (int i = 0; i < 12; ++i) {
    OnUploadPutOff(state_, now_, run);
    Beat(worker, {attempt});
    Pass(state_.policy.stop_patience / 4);
    ASSERT_EQ(Live(run), attempt);
  }
}

TEST_F(CoreTest, AWorkerThatWasAwayIsToldAgainToStop) {
  const RunId run = SubmitOne(Key(1));
  OnDisconnect(state_, Connect("w"));
  const AttemptId attempt = Live(run);
  OnPause(state_, now_, {run}, Out());
  Take();
  const SessionNumber again = Connect("w", {attempt});
  EXPECT_TRUE(LastTo(again, v1::ToWorker::kStop)->stop().checkpoint());
}

TEST_F(CoreTest, TimeOutOfReachCountsAgainstNoRun) {
  state_.policy.lease = absl::Hours(24);
  const RunId run = SubmitOne(Key(1)), stopped = SubmitOne(Key(2));
  OnDisconnect(state_, Connect("w", {}, 2));
  const AttemptId attempt = Live(run), other = Live(stopped);
  OnPause(state_, now_, {stopped}, Out());
  Pass(2 * state_.policy.hung_after);
  const SessionNumber again = Connect("w", {attempt, other}, 2);
  EXPECT_EQ(Live(run), attempt);
  EXPECT_EQ(Live(stopped), other);
  Pass(state_.policy.stop_patience / 2);
  EXPECT_TRUE(LastTo(again, v1::ToWorker::kStop)->stop().checkpoint());
  Pass(state_.policy.stop_patience);
  EXPECT_EQ(Reason(stopped), "paused");  // was told, and did not
  Pass(state_.policy.hung_after);
  EXPECT_EQ(Get(run).machine_faults, 1);  // in reach, and did nothing
}

TEST_F(CoreTest, ACancelledRunIsNotPausedAnyMore) {
  const RunId run = SubmitOne(Key(1));
  OnPause(state_, now_, {run}, Out());
  OnCancel(state_, now_, {run}, Out());
  EXPECT_EQ(state_.sweeps.at(SweepId(1)).paused, 0);
  EXPECT_EQ(OnResume(state_, now_, {run}, Out()), 0);
  OnRetry(state_, now_, {run}, Out());
  EXPECT_EQ(Reason(run), "no worker is connected");
}

TEST_F(CoreTest, ADrainedWorkerGetsNoMoreRuns) {
  Submit({MakeRun(Key(1)), MakeRun(Key(2))});
  const SessionNumber worker = Connect("w");
  OnDrain(state_, now_, WorkerId("w"), /*move_runs=*/false, Out());
  Succeed(worker, Live(RunId(1)));
  Pass(kLease / 2);
  EXPECT_EQ(Reason(RunId(2)), "every worker that fits is draining");
  OnUndrain(state_, WorkerId("w"), Out());
  Tick();
  EXPECT_EQ(Get(RunId(2)).state, v1::RUN_STATE_RUNNING);
}

TEST_F(CoreTest, ADrainedWorkersRunsMoveAfterACheckpoint) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  Connect("v");
  const AttemptId attempt = Live(run);
  OnDrain(state_, now_, WorkerId("w"), /*move_runs=*/true, Out());
  EXPECT_TRUE(LastTo(worker, v1::ToWorker::kStop)->stop().checkpoint());
  End(worker, attempt, v1::BLAME_CONTROL_PLANE);
  EXPECT_EQ(Get(run).worker, WorkerId("v"));
  EXPECT_EQ(Get(run).machine_faults, 0);
}

TEST_F(CoreTest, SweepsOfOnePriorityShareTheSlotsEvenly) {
  std::vector<core::Run> first, second;
  for (int i = 0; i < 10; ++i) first.push_back(MakeRun(Key(i)));
  Submit(std::move(first));
  for (int i = 10; i < 20; ++i) second.push_back(MakeRun(Key(i)));
  Submit(std::move(second));
  const SessionNumber worker = Connect("w", {}, 4);
  const auto running = [this](int64_t sweep) {
    return state_.sweeps.at(SweepId(sweep)).count[v1::RUN_STATE_RUNNING];
  };
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(running(1), 2);
    EXPECT_EQ(running(2), 2);
    Succeed(worker, Live(*state_.workers.at(WorkerId("w")).running.begin()));
  }
}

TEST_F(CoreTest, HigherPriorityTakesTheYoungestPlaceOfTheLowestAfterACheckpoint) {
  Submit({MakeRun(Key(1)), MakeRun(Key(2))});
  const SessionNumber worker = Connect("w", {}, 2);
  const AttemptId victim = Live(RunId(2));
  Take();
  const RunId urgent = SubmitOne(Key(3), 10);
  Pass(absl::Seconds(5));
  const v1::Stop stop = LastTo(worker, v1::ToWorker::kStop)->stop();
  EXPECT_EQ(stop.attempt().run_id(), victim.run.value());
  EXPECT_TRUE(stop.checkpoint());
  const auto stops = std::count_if(effects_.messages.begin(), effects_.messages.end(),
                                   [](const Outgoing& out) { return out.message.has_stop(); });
  EXPECT_EQ(stops, 1);  // one run, one place
  End(worker, victim, v1::BLAME_CONTROL_PLANE);
  EXPECT_EQ(Get(urgent).state, v1::RUN_STATE_RUNNING);
  EXPECT_EQ(Get(RunId(2)).state, v1::RUN_STATE_PENDING);
  Succeed(worker, Live(urgent));
  EXPECT_EQ(Live(RunId(2)).number, AttemptNumber(2));
}

TEST_F(CoreTest, EqualPriorityStopsNobody) {
  SubmitOne(Key(1), 5);
  const SessionNumber worker = Connect("w");
  Take();
  SubmitOne(Key(2), 5);
  Pass(absl::Seconds(5));
  EXPECT_FALSE(LastTo(worker, v1::ToWorker::kStop));
}

TEST_F(CoreTest, NobodyIsStoppedForAWorkerThatTakesNoRuns) {
  SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  v1::Heartbeat full;
  full.set_refuses("the disk is full");
  *full.add_attempts()->mutable_attempt() = ToProto(Live(RunId(1)));
  OnHeartbeat(state_, now_, worker, full, Out());
  SubmitOne(Key(2), 5);
  EXPECT_FALSE(LastTo(worker, v1::ToWorker::kStop));
}

TEST_F(CoreTest, ALargeRunOfHigherPriorityHasSeveralStopped) {
  core::Run a = MakeRun(Key(1)), b = MakeRun(Key(2)), c = MakeRun(Key(3));
  a.needs.memory_bytes = b.needs.memory_bytes = c.needs.memory_bytes = 300;
  Submit({a, b, c});
  const SessionNumber worker = Connect("w", {}, 3, 999);
  core::Run large = MakeRun(Key(4));
  large.needs.memory_bytes = 600;
  Take();
  Submit({large}, 1);
  std::set<int64_t> stopped;
  for (const Outgoing& out : effects_.messages) {
    if (out.message.has_stop()) stopped.insert(out.message.stop().attempt().run_id());
  }
  EXPECT_EQ(stopped, (std::set<int64_t>{2, 3}));
  for (const int64_t id : stopped) End(worker, Live(RunId(id)), v1::BLAME_CONTROL_PLANE);
  EXPECT_EQ(Get(large.id).state, v1::RUN_STATE_RUNNING);
}

}  // namespace
}  // namespace qsweep::core
