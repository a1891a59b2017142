// The decisions, driven directly with a clock of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "scheduler/core/placement.h"
#include "scheduler/core/reactor.h"

namespace qsweep::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr absl::Duration kLease = absl::Seconds(60);

class CoreTest : public testing::Test {
 protected:
  CoreTest() { state_.last_tick = now_; }

  static std::string Key(int i) { return absl::StrCat("key", i); }

  core::Run MakeRun(const std::string& key) {
    core::Run run;
    run.id = RunId(++last_run_);
    run.sweep = SweepId(last_sweep_);
    run.key = key;
    run.needs = {"", "cifar10", 100};
    return run;
  }
  // One sweep of these runs; returns the first one's id.
  RunId Submit(std::vector<core::Run> runs, int32_t priority = 0) {
    const RunId first = runs[0].id;
    OnSubmit(state_, now_, SweepId(last_sweep_++), priority, std::move(runs), Out());
    Tick();
    return first;
  }
  RunId SubmitOne(const std::string& key, int32_t priority = 0) {
    return Submit({MakeRun(key)}, priority);
  }

  // What a worker says at first, and its session from then on.
  SessionNumber Connect(const std::string& id, std::vector<AttemptId> held = {}, int slots = 1,
                        int64_t memory = 1000, std::vector<std::string> models = {}) {
    v1::Hello hello;
    hello.mutable_info()->set_id(id);
    hello.mutable_info()->set_name(id);
    hello.mutable_info()->set_slots(slots);
    hello.mutable_info()->set_memory_bytes(memory);
    hello.mutable_info()->add_datasets("cifar10");
    for (const std::string& model : models) hello.mutable_info()->add_models(model);
    for (const AttemptId& attempt : held) Fill(attempt, hello.add_held()->mutable_attempt());
    OnHello(state_, now_, ++last_session_, hello, 5000, Out());
    Tick();
    return last_session_;
  }
  void Beat(SessionNumber session, std::vector<AttemptId> attempts = {}, int64_t step = 0) {
    v1::Heartbeat beat;
    for (const AttemptId& attempt : attempts) {
      v1::AttemptProgress* progress = beat.add_attempts();
      Fill(attempt, progress->mutable_attempt());
      progress->set_step(step);
    }
    OnHeartbeat(state_, now_, session, beat, Out());
    Tick();
  }
  void End(SessionNumber session, const AttemptId& attempt, v1::Blame blame, bool succeeded = false,
           bool has_result = true) {
    v1::AttemptEnded ended;
    Fill(attempt, ended.mutable_attempt());
    ended.set_succeeded(succeeded);
    ended.set_blame(blame);
    ended.set_error("it broke");
    OnAttemptEnded(state_, now_, session, ended, has_result, Out());
    Tick();
  }
  void Succeed(SessionNumber session, const AttemptId& attempt) {
    End(session, attempt, v1::BLAME_UNSPECIFIED, true);
  }
  // Time passes in small steps, as it does for a scheduler that is alive.
  void Pass(absl::Duration time) {
    for (const Time end = now_ + time; now_ < end;) {
      now_ = std::min(end, now_ + absl::Seconds(1));
      Tick();
    }
  }
  void Tick() { OnTick(state_, now_, Out()); }

  static void Fill(const AttemptId& id, v1::Attempt* attempt) {
    attempt->set_run_id(id.run.value());
    attempt->set_number(id.number.value());
  }
  const core::Run& Get(RunId id) { return state_.runs.at(id); }
  AttemptId Live(RunId id) {
    EXPECT_EQ(Get(id).state, v1::RUN_STATE_RUNNING) << "run " << id.value();
    return Get(id).last_attempt();
  }
  // Everything since the last call.
  Effects Take() { return std::exchange(effects_, {}); }
  Effects& Out() { return effects_; }
  std::optional<v1::ToWorker> LastTo(SessionNumber session, v1::ToWorker::KindCase kind) {
    std::optional<v1::ToWorker> found;
    for (const Outgoing& out : effects_.messages) {
      if (out.session == session && out.message.kind_case() == kind) found = out.message;
    }
    return found;
  }
  std::string Reason(RunId id) { return WaitingReason(state_, now_, Get(id)); }

  State state_;
  Time now_ = absl::Seconds(1000);
  Effects effects_;
  int64_t last_run_ = 0;
  int64_t last_sweep_ = 1;
  SessionNumber last_session_ = 0;
};

TEST_F(CoreTest, ARunGoesToAWorkerAndSucceeds) {
  const RunId run = SubmitOne(Key(1));
  EXPECT_EQ(Reason(run), "no worker is connected");
  const SessionNumber worker = Connect("w");
  const auto assign = LastTo(worker, v1::ToWorker::kAssign);
  ASSERT_TRUE(assign);
  EXPECT_EQ(assign->assign().attempt().number(), 1);
  Succeed(worker, Live(run));
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_SUCCEEDED);
  EXPECT_TRUE(LastTo(worker, v1::ToWorker::kEndedAck));
  EXPECT_TRUE(std::holds_alternative<SweepEnded>(effects_.changes.back()));
  EXPECT_FALSE(state_.sweeps.at(SweepId(1)).open());
}

TEST_F(CoreTest, ALeaseExpiresOnlyAfterItsTime) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  OnDisconnect(state_, worker);
  Pass(kLease - absl::Seconds(1));
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_RUNNING);
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
  EXPECT_THAT(effects_.closed, ElementsAre(worker));
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

TEST_F(CoreTest, ANewSessionClosesTheOldOne) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber old = Connect("w");
  const AttemptId attempt = Live(run);
  const SessionNumber now = Connect("w", {attempt});
  EXPECT_THAT(effects_.closed, ElementsAre(old));
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
  run.sweep = SweepId(1);
  run.state = v1::RUN_STATE_RUNNING;
  run.attempt = AttemptNumber(3);
  run.worker = WorkerId("w");
  run.acked_offset = 77;
  v1::WorkerInfo info;
  info.set_id("w");
  RestoreWorker(state_, now_, info, now_ - absl::Hours(1));
  RestoreSweep(state_, SweepId(1), 0);
  const RunId id = run.id;
  RestoreRun(state_, run, false);
  Resume(state_, now_, Out());
  EXPECT_THAT(effects_.changes, IsEmpty());
  Pass(kLease - absl::Seconds(1));
  const SessionNumber worker = Connect("w", {{id, AttemptNumber(3)}});
  EXPECT_EQ(LastTo(worker, v1::ToWorker::kWelcome)->welcome().verdicts(0).acked_offset(), 77u);
}

TEST_F(CoreTest, GoodbyeFreesRunsAtOnce) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  Connect("v");
  OnGoodbye(state_, now_, worker, "shut down", Out());
  Tick();
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
  EXPECT_EQ(Get(run).worker, WorkerId("v"));
  EXPECT_THAT(effects_.closed, ElementsAre(worker));
}

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

TEST_F(CoreTest, AMachinesFaultIsRetriedElsewhereAfterABackOff) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber bad = Connect("a");
  Connect("b");
  End(bad, Live(run), v1::BLAME_MACHINE);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  EXPECT_THAT(Reason(run), HasSubstr("retried in"));
  Pass(absl::Seconds(2));
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
  EXPECT_EQ(Get(run).worker, WorkerId("b"));
}

TEST_F(CoreTest, FaultsOfMachinesAloneCannotLoopForEver) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  int attempts = 0;
  while (Get(run).state != v1::RUN_STATE_FAILED && attempts < 100) {
    if (Get(run).state == v1::RUN_STATE_RUNNING) {
      ++attempts;
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
    OnCheckpoint(state_, state_.runs.at(run), 10 * i - 5);
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
  EXPECT_EQ(state_.workers.at(WorkerId("w")).reserved_bytes, 100);
}

TEST_F(CoreTest, RetryBeginsAgainWithCleanCountsFromTheCheckpoint) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  OnCheckpoint(state_, state_.runs.at(run), 40);
  End(worker, Live(run), v1::BLAME_CONFIG);
  Take();
  EXPECT_EQ(OnRetry(state_, now_, {run}, Out()), 1);
  Tick();
  EXPECT_EQ(Live(run).number, AttemptNumber(2));
  EXPECT_EQ(LastTo(worker, v1::ToWorker::kAssign)->assign().resume_step(), 40);
  EXPECT_TRUE(state_.sweeps.at(SweepId(1)).open());
  EXPECT_EQ(OnRetry(state_, now_, {run}, Out()), 0);
}

TEST_F(CoreTest, AFinishedCellIsReused) {
  const SessionNumber worker = Connect("w");
  const RunId first = SubmitOne(Key(1));
  Succeed(worker, Live(first));
  Take();
  const RunId second = SubmitOne(Key(1));
  EXPECT_EQ(Get(second).state, v1::RUN_STATE_SUCCEEDED);
  EXPECT_EQ(Get(second).attempt, AttemptNumber());
  EXPECT_EQ(state_.sweeps.at(SweepId(2)).reused, 1);
  EXPECT_FALSE(state_.sweeps.at(SweepId(2)).open());
}

TEST_F(CoreTest, EqualCellsAreComputedOnce) {
  const SessionNumber worker = Connect("w", {}, 4);
  const RunId first = SubmitOne(Key(1));
  const RunId second = SubmitOne(Key(1));
  EXPECT_EQ(Get(second).state, v1::RUN_STATE_PENDING);
  EXPECT_THAT(Reason(second), HasSubstr("run 1 computes the same"));
  Succeed(worker, Live(first));
  EXPECT_EQ(Get(second).state, v1::RUN_STATE_SUCCEEDED);
}

TEST_F(CoreTest, ATwinTakesOverFromACancelledRunAndSharesAFailure) {
  const SessionNumber worker = Connect("w", {}, 4);
  const RunId first = SubmitOne(Key(1));
  const RunId second = SubmitOne(Key(1));
  const RunId third = SubmitOne(Key(1));
  OnCancel(state_, now_, {first}, Out());
  Beat(worker);
  EXPECT_EQ(Get(second).state, v1::RUN_STATE_RUNNING);
  End(worker, Live(second), v1::BLAME_CONFIG);
  EXPECT_EQ(Get(third).state, v1::RUN_STATE_FAILED);
}

TEST_F(CoreTest, AConsumerWaitsForItsWeights) {
  const SessionNumber worker = Connect("w", {}, 4);
  const RunId producer = SubmitOne(Key(1));
  core::Run consumer = MakeRun(Key(2));
  consumer.weights_key = Key(1);
  const RunId id = Submit({consumer});
  EXPECT_EQ(Reason(id), "waits for the weights of run 1");
  Succeed(worker, Live(producer));
  EXPECT_EQ(Get(id).state, v1::RUN_STATE_RUNNING);
}

TEST_F(CoreTest, AConsumerFailsWithItsProducerAndCanBeRetriedWithIt) {
  const SessionNumber worker = Connect("w", {}, 4);
  const RunId producer = SubmitOne(Key(1));
  core::Run consumer = MakeRun(Key(2));
  consumer.weights_key = Key(1);
  const RunId id = Submit({consumer});
  End(worker, Live(producer), v1::BLAME_CONFIG);
  EXPECT_EQ(Get(id).state, v1::RUN_STATE_FAILED);
  EXPECT_EQ(OnRetry(state_, now_, {id}, Out()), 1);
  EXPECT_EQ(Get(id).state, v1::RUN_STATE_FAILED);  // still nothing to start from
  EXPECT_EQ(OnRetry(state_, now_, {producer, id}, Out()), 2);
  EXPECT_EQ(Get(id).state, v1::RUN_STATE_PENDING);
  EXPECT_EQ(OnCancel(state_, now_, {producer, id}, Out()), 2);
  EXPECT_EQ(Get(id).state, v1::RUN_STATE_CANCELLED);
}

TEST_F(CoreTest, PlacementKnowsDataWeightsAndMemory) {
  core::Run big = MakeRun(Key(1)), other = MakeRun(Key(2)), trained = MakeRun(Key(3));
  big.needs.memory_bytes = 2'000'000'000;
  other.needs.dataset = "imagenet";
  trained.needs.model = "deit_tiny_patch16_224";
  Submit({big, other, trained});
  Connect("w", {}, 8);
  EXPECT_EQ(Reason(big.id), "needs 2.0 GB, the largest connected worker with its data has 0.0 GB");
  EXPECT_EQ(Reason(other.id), "no connected worker has the dataset imagenet");
  EXPECT_THAT(Reason(trained.id), HasSubstr("has the weights of deit_tiny_patch16_224"));
  Connect("v", {}, 1, 4'000'000'000, {"deit_tiny_patch16_224"});
  EXPECT_EQ(Get(big.id).worker, WorkerId("v"));
  EXPECT_EQ(Reason(trained.id), "every worker that fits is busy");
}

TEST_F(CoreTest, RunsTogetherNeverExceedAWorkersMemory) {
  core::Run a = MakeRun(Key(1)), b = MakeRun(Key(2)), c = MakeRun(Key(3));
  a.needs.memory_bytes = b.needs.memory_bytes = 600;
  c.needs.memory_bytes = 300;
  Submit({a, b, c});
  const SessionNumber worker = Connect("w", {}, 4, 1000);
  EXPECT_EQ(Get(a.id).state, v1::RUN_STATE_RUNNING);
  EXPECT_EQ(Get(b.id).state, v1::RUN_STATE_PENDING);
  EXPECT_EQ(Get(c.id).state, v1::RUN_STATE_RUNNING);
  Succeed(worker, Live(a.id));
  EXPECT_EQ(Get(b.id).state, v1::RUN_STATE_RUNNING);
}

TEST_F(CoreTest, ARunThatWaitsForMemoryIsNotOvertakenByLowerPriority) {
  core::Run small = MakeRun(Key(1));
  small.needs.memory_bytes = 600;
  Submit({small});
  const SessionNumber worker = Connect("w", {}, 4, 1000);
  core::Run large = MakeRun(Key(2));
  large.needs.memory_bytes = 900;
  Submit({large}, 5);
  const RunId low = SubmitOne(Key(3), 0);
  EXPECT_EQ(Get(low).state, v1::RUN_STATE_PENDING);
  Succeed(worker, Live(small.id));
  EXPECT_EQ(Get(large.id).state, v1::RUN_STATE_RUNNING);
  EXPECT_EQ(Get(low).state, v1::RUN_STATE_RUNNING);
}

TEST_F(CoreTest, HigherPriorityGoesFirstThenTheOlder) {
  SubmitOne(Key(1), 0);
  SubmitOne(Key(2), 0);
  const RunId urgent = SubmitOne(Key(3), 10);
  const SessionNumber worker = Connect("w");
  Succeed(worker, Live(urgent));
  Succeed(worker, Live(RunId(1)));
  EXPECT_EQ(Get(RunId(2)).state, v1::RUN_STATE_RUNNING);
}

TEST_F(CoreTest, SuccessWithoutAResultIsAFaultOfTheMachine) {
  const RunId run = SubmitOne(Key(1));
  const SessionNumber worker = Connect("w");
  End(worker, Live(run), v1::BLAME_UNSPECIFIED, true, /*has_result=*/false);
  EXPECT_EQ(Get(run).state, v1::RUN_STATE_PENDING);
  EXPECT_EQ(Get(run).machine_faults, 1);
}

// The events of a large sweep cost no more than those of a small one. Quadratic work would take
// minutes here: 1e5 runs x 2 events x 1e5.
TEST_F(CoreTest, AHundredThousandRunsAreDecidedInSeconds) {
  std::vector<core::Run> runs;
  for (int i = 0; i < 100'000; ++i) runs.push_back(MakeRun(Key(i)));
  Submit(std::move(runs));
  const SessionNumber worker = Connect("w", {}, 4);
  const Worker& w = state_.workers.at(WorkerId("w"));
  while (!w.running.empty()) {
    Succeed(worker, Live(*w.running.begin()));
    Take();
  }
  EXPECT_EQ(state_.sweeps.at(SweepId(1)).count[v1::RUN_STATE_SUCCEEDED], 100'000);
}

}  // namespace
}  // namespace qsweep::core
