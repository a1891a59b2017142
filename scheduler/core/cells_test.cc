// Runs that compute the same, and runs that start from what others produce.
#include "scheduler/core/core_fixture.h"

namespace qsweep::core {
namespace {

using testing::HasSubstr;

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

TEST_F(CoreTest, AProductThatIsLostIsComputedAnew) {
  const SessionNumber worker = Connect("w", {}, 1);
  const RunId producer = SubmitOne(Key(1));
  OnCheckpoint(state_, state_.runs.at(producer), 40, Out());
  Succeed(worker, Live(producer));
  core::Run running = MakeRun(Key(2)), queued = MakeRun(Key(3));
  running.weights_key = queued.weights_key = Key(1);
  Submit({running, queued});
  OnProductLost(state_, now_, producer, "model.safetensors", Out());
  EXPECT_EQ(Get(producer).state, v1::RUN_STATE_SUCCEEDED);
  EXPECT_THAT(RunRemark(state_, now_, Get(producer)), HasSubstr("model.safetensors is damaged"));
  EXPECT_EQ(Get(queued.id).state, v1::RUN_STATE_FAILED);
  End(worker, Live(running.id), v1::BLAME_CONTROL_PLANE);  // it could not fetch them
  EXPECT_EQ(Get(running.id).state, v1::RUN_STATE_FAILED);
  EXPECT_EQ(Get(SubmitOne(Key(1))).state, v1::RUN_STATE_RUNNING);
  OnCancel(state_, now_, {RunId(4)}, Out());
  Beat(worker);
  EXPECT_EQ(OnRetry(state_, now_, {producer, queued.id}, Out()), 2);
  Tick();
  EXPECT_EQ(Reason(queued.id), "waits for the weights of run 1");
  EXPECT_EQ(Get(producer).first_step, 0);
  Succeed(worker, Live(producer));
  EXPECT_EQ(RunRemark(state_, now_, Get(producer)), "");
  EXPECT_EQ(Get(queued.id).state, v1::RUN_STATE_RUNNING);
  EXPECT_EQ(OnRetry(state_, now_, {producer}, Out()), 0);
}

// The twin that took over is younger than what waits for its weights.
TEST_F(CoreTest, ARestartFailsNoConsumerWhoseProducerIsStillToCome) {
  core::Run producer = MakeRun(Key(1)), consumer = MakeRun(Key(2)), twin = MakeRun(Key(1));
  producer.state = v1::RUN_STATE_CANCELLED;
  consumer.weights_key = Key(1);
  for (core::Run run : {producer, consumer, twin}) {
    run.sweep = SweepId(last_sweep_++);
    AddSweep(state_, run.sweep, 0);
    AddRun(state_, run, /*reused=*/false);
  }
  StartAfterRecovery(state_, now_, Out());
  EXPECT_EQ(Reason(consumer.id), "waits for the weights of run 3");
  const SessionNumber worker = Connect("w");
  Succeed(worker, Live(twin.id));
  EXPECT_EQ(Get(consumer.id).state, v1::RUN_STATE_RUNNING);
}

}  // namespace
}  // namespace qsweep::core
