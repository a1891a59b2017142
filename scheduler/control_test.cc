// Pause, drain and what was learnt about machines, across a restart.
#include <gmock/gmock.h>

#include "common/attempt_dir.h"
#include "common/hash.h"
#include "scheduler/service_fixture.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

TEST_F(ServiceTest, CancelAndRetry) {
  Submit(Request("study", 2));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  v1::Target cancel;
  cancel.set_sweep("study");
  EXPECT_EQ(Call(&v1::SweepService::Stub::Cancel, cancel).runs(), 2);
  EXPECT_EQ(worker.Await(v1::ToWorker::kStop).stop().attempt().run_id(), attempt.run_id());
  EXPECT_EQ(GetSweep("study").cancelled(), 2);
  EXPECT_GT(GetSweep("study").ended_unix_us(), 0);
  v1::Target retry;
  retry.set_run("study/cell-1");
  EXPECT_EQ(Call(&v1::SweepService::Stub::Retry, retry).runs(), 1);
  EXPECT_EQ(GetSweep("study").pending() + GetSweep("study").running(), 1);
  EXPECT_EQ(GetSweep("study").ended_unix_us(), 0);
}

v1::FromWorker EndedFor(const v1::Attempt& attempt, v1::Blame blame) {
  v1::FromWorker message;
  *message.mutable_ended()->mutable_attempt() = attempt;
  message.mutable_ended()->set_blame(blame);
  message.mutable_ended()->set_error("it broke");
  return message;
}

TEST_F(ServiceTest, APausedRunStaysPausedOverARestartAndGoesOnFromItsCheckpoint) {
  Submit(Request("study", 2));
  v1::Target pause;
  pause.set_sweep("study");
  {
    ScriptedWorker worker(channel_, "w");
    const v1::Attempt attempt = NextAssign(worker);
    EXPECT_EQ(Call(&v1::SweepService::Stub::Pause, pause).runs(), 2);
    const v1::Stop stop = worker.Await(v1::ToWorker::kStop).stop();
    EXPECT_TRUE(stop.checkpoint());
    EXPECT_THAT(GetRun("1").run().remark(), HasSubstr("writes a checkpoint and stops: paused"));
    ASSERT_TRUE(worker.Upload(attempt, "ten", Sha256Hex("ten")).ok());
    worker.SendEvents(attempt, 0, 50, {CheckpointAt(10, "ten")});
    worker.Send(EndedFor(attempt, v1::BLAME_CONTROL_PLANE));
    worker.Await(v1::ToWorker::kEndedAck);
  }
  Reopen();
  ScriptedWorker worker(channel_, "w");
  worker.Await(v1::ToWorker::kWelcome);
  EXPECT_EQ(GetSweep("study").paused(), 2);
  EXPECT_EQ(GetSweep("study").waiting(), "paused");
  EXPECT_EQ(GetRun("1").run().waiting(), "paused");
  EXPECT_TRUE(GetRun("1").run().paused());
  EXPECT_EQ(GetRun("1").attempts(0).outcome(), "released");
  v1::Target resume;
  resume.set_run("1");
  EXPECT_EQ(Call(&v1::SweepService::Stub::Resume, resume).runs(), 1);
  const v1::Assign assign = worker.Await(v1::ToWorker::kAssign).assign();
  EXPECT_EQ(assign.attempt().run_id(), 1);
  EXPECT_EQ(assign.resume_step(), 10);
  EXPECT_EQ(GetSweep("study").paused(), 1);
}

TEST_F(ServiceTest, ADrainedWorkerStaysDrainedOverARestart) {
  v1::DrainRequest drain;
  drain.set_worker("w");
  v1::WorkerStatus status;
  EXPECT_EQ(Try(&v1::SweepService::Stub::Drain, drain, &status).error_code(),
            grpc::StatusCode::NOT_FOUND);
  { ScriptedWorker(channel_, "w").Await(v1::ToWorker::kWelcome); }
  EXPECT_TRUE(Call(&v1::SweepService::Stub::Drain, drain).draining());
  Reopen();
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  worker.Await(v1::ToWorker::kWelcome);
  EXPECT_EQ(GetRun("1").run().waiting(), "every worker that fits is draining");
  EXPECT_EQ(GetRun("1").verdicts(0).reason(), "draining: it gets no more runs");
  v1::UndrainRequest undrain;
  undrain.set_worker("w");
  EXPECT_FALSE(Call(&v1::SweepService::Stub::Undrain, undrain).draining());
  EXPECT_EQ(NextAssign(worker).run_id(), 1);
}

TEST_F(ServiceTest, OfSeveralWorkersOfOneNameTheConnectedOneIsMeantOrNone) {
  v1::DrainRequest drain;
  drain.set_worker("host");
  v1::WorkerStatus status;
  ScriptedWorker first(channel_, "w1", {}, "host");
  first.Await(v1::ToWorker::kWelcome);
  {
    ScriptedWorker second(channel_, "w2", {}, "host");
    second.Await(v1::ToWorker::kWelcome);
    const grpc::Status refused = Try(&v1::SweepService::Stub::Drain, drain, &status);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(refused.error_message(), HasSubstr("name one by its id: w1, w2"));
    drain.set_worker("w2");
    EXPECT_EQ(Call(&v1::SweepService::Stub::Drain, drain).info().id(), "w2");
  }
  drain.set_worker("host");
  // Once the second one's end is known.
  Await([&] { return Try(&v1::SweepService::Stub::Drain, drain, &status).ok(); });
  EXPECT_EQ(status.info().id(), "w1");
}

TEST_F(ServiceTest, WhatWasLearntFromFaultsOutlivesTheScheduler) {
  options_.policy.first_quarantine = options_.policy.longest_quarantine = absl::Minutes(5);
  Reopen();
  Submit(Request("study", 3));
  {
    ScriptedWorker worker(channel_, "bad");
    for (int i = 0; i < 3; ++i) {
      const v1::Attempt attempt = NextAssign(worker);
      worker.Send(EndedFor(attempt, v1::BLAME_MACHINE));
      worker.Await(v1::ToWorker::kEndedAck);
    }
  }
  Reopen();
  ScriptedWorker bad(channel_, "bad");
  bad.Await(v1::ToWorker::kWelcome);
  const auto workers = Call(&v1::SweepService::Stub::ListWorkers, v1::ListWorkersRequest());
  EXPECT_THAT(workers.workers(0).remark(), HasSubstr("in quarantine after 3 faults in a row"));
  ScriptedWorker good(channel_, "good");
  for (int i = 0; i < 3; ++i) Finish(good, NextAssign(good), 0);
  EXPECT_EQ(GetSweep("study").succeeded(), 3);
  for (const char* run : {"1", "2", "3"}) {
    EXPECT_EQ(GetRun(run).attempts().rbegin()->worker(), "good");
  }
}

TEST_F(ServiceTest, ARunAvoidsWhereItFailedAfterARestartToo) {
  Submit(Request("study", 1));
  v1::Target study;
  study.set_sweep("study");
  {
    ScriptedWorker worker(channel_, "a");
    const v1::Attempt attempt = NextAssign(worker);
    Call(&v1::SweepService::Stub::Pause, study);
    worker.Send(EndedFor(attempt, v1::BLAME_MACHINE));
    worker.Await(v1::ToWorker::kEndedAck);
  }
  Reopen();
  ScriptedWorker bad(channel_, "a"), good(channel_, "b");
  bad.Await(v1::ToWorker::kWelcome);
  good.Await(v1::ToWorker::kWelcome);
  Call(&v1::SweepService::Stub::Resume, study);
  EXPECT_EQ(NextAssign(good).number(), 2);
}

// The end of a run that took 3 GB of the machine's memory and 200 MB for tensors.
v1::Event MeasuredOn(const std::string& device) {
  v1::Event finished = FinishedWith(kModelFile, "weights");
  v1::RunResult* result = finished.mutable_finished()->mutable_result();
  result->set_train_seconds(96);  // 30 steps of 32 images: 10 a second
  result->mutable_memory()->set_micro_batch(32);
  result->mutable_memory()->set_gradient_checkpointing("none");
  result->mutable_memory()->set_rss_peak_bytes(3'000'000'000);
  result->mutable_memory()->set_held_bytes(200'000'000);
  result->mutable_provenance()->set_device(device);
  return finished;
}

// A GPU's libraries take gigabytes of the machine's, which say nothing of what a run needs there.
TEST_F(ServiceTest, OfARunOnAGpuTheGpusMemoryIsLearnt) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  ASSERT_TRUE(worker.Upload(attempt, "weights", Sha256Hex("weights")).ok());
  worker.SendEvents(attempt, 0, 50, {MeasuredOn("cuda:0 H200")});
  worker.SendEnd(attempt, true);
  const auto plan = Call(&v1::SweepService::Stub::PlanSweep, Request("larger", 3));
  EXPECT_TRUE(plan.cells(2).memory_measured());
  EXPECT_LT(plan.cells(2).memory_bytes(), 1'000'000'000);
}

// Learnt, it would leave all runs of its kind without a place for ever.
TEST_F(ServiceTest, MoreMemoryThanAnyMachineHasIsNotLearnt) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  ASSERT_TRUE(worker.Upload(attempt, "weights", Sha256Hex("weights")).ok());
  v1::Event finished = MeasuredOn("cpu");
  finished.mutable_finished()->mutable_result()->mutable_memory()->set_rss_peak_bytes(INT64_MAX);
  worker.SendEvents(attempt, 0, 50, {finished});
  worker.SendEnd(attempt, true);
  EXPECT_EQ(GetSweep("study").succeeded(), 1);
  const auto plan = Call(&v1::SweepService::Stub::PlanSweep, Request("larger", 3));
  EXPECT_FALSE(plan.cells(2).memory_measured());
}

TEST_F(ServiceTest, APlanSaysWhatIsKnownWhatItNeedsAndWhereItFits) {
  auto request = Request("study", 1);
  Submit(request);
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  ASSERT_TRUE(worker.Upload(attempt, "weights", Sha256Hex("weights")).ok());
  worker.SendEvents(attempt, 0, 50, {MeasuredOn("cpu")});
  worker.SendEnd(attempt, true);
  Reopen();  // what was measured is remembered

  ScriptedWorker again(channel_, "w");
  again.Await(v1::ToWorker::kWelcome);
  request = Request("larger", 3);
  for (v1::Cell& cell : *request.mutable_cells()) {
    cell.mutable_spec()->mutable_training()->set_num_epochs(1);
    cell.mutable_spec()->mutable_dataset()->set_train_limit(1000);
  }
  *request.add_cells() = Request("study", 1).cells(0);
  request.mutable_cells(3)->set_name("the-known-one");
  const auto plan = Call(&v1::SweepService::Stub::PlanSweep, request);
  EXPECT_EQ(plan.known(), 1);
  EXPECT_EQ(plan.cells(3).known_run_id(), 1);
  EXPECT_TRUE(plan.cells(0).memory_measured());
  EXPECT_GT(plan.cells(0).memory_bytes(), 1'000'000'000);
  EXPECT_NEAR(plan.cells(0).seconds(), 100, 1e-6);
  EXPECT_NEAR(plan.seconds(), 300, 1e-6);  // one slot
  EXPECT_GT(plan.disk_bytes(), 0);
  EXPECT_EQ(plan.workers(0).cells(), 3);
  EXPECT_EQ(Call(&v1::SweepService::Stub::ListSweeps, v1::ListSweepsRequest()).sweeps_size(), 1);
}

TEST_F(ServiceTest, ARunThatNothingCanEverTakeSaysSoAtOnce) {
  ScriptedWorker worker(channel_, "w");
  worker.Await(v1::ToWorker::kWelcome);
  auto request = Request("study", 2);
  request.mutable_cells(1)->mutable_spec()->mutable_model()->set_name("deit_tiny_patch16_224");
  request.mutable_cells(1)->mutable_spec()->mutable_dataset()->set_name("cifar10");
  Submit(request);
  EXPECT_EQ(GetSweep("study").unplaceable(), 1);
  EXPECT_EQ(GetRun("2").run().waiting(), "no connected worker has the dataset cifar10");
  EXPECT_EQ(GetRun("2").verdicts(0).reason(), "lacks the dataset cifar10");
}

TEST_F(ServiceTest, RunsThatWereToMoveAreToldAgainAfterARestart) {
  Submit(Request("study", 1));
  v1::Attempt attempt;
  {
    ScriptedWorker worker(channel_, "w");
    attempt = NextAssign(worker);
    v1::DrainRequest drain;
    drain.set_worker("w");
    drain.set_move_runs(true);
    Call(&v1::SweepService::Stub::Drain, drain);
  }
  Reopen();
  {
    ScriptedWorker worker(channel_, "w", {attempt});
    const v1::Stop stop = worker.Await(v1::ToWorker::kStop).stop();
    EXPECT_TRUE(stop.checkpoint());
    EXPECT_THAT(stop.reason(), HasSubstr("draining"));
    v1::UndrainRequest undrain;
    undrain.set_worker("w");
    Call(&v1::SweepService::Stub::Undrain, undrain);
  }
  Reopen();
  ScriptedWorker worker(channel_, "w", {attempt});
  EXPECT_TRUE(worker.Await(v1::ToWorker::kWelcome).welcome().verdicts(0).keep());
  EXPECT_EQ(GetRun("1").run().remark(), "");
}

}  // namespace
}  // namespace qsweep
