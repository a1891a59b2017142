// A worker's side of the protocol: in order, once, fenced.
#include <gmock/gmock.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/hash.h"
#include "common/rpc.h"
#include "scheduler/service_fixture.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

TEST_F(ServiceTest, ARunIsAssignedReportedAndSucceeds) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  EXPECT_EQ(worker.Await(v1::ToWorker::kWelcome).welcome().heartbeat_ms(), 50);
  const v1::Assign assign = worker.Await(v1::ToWorker::kAssign).assign();
  EXPECT_EQ(assign.run_name(), "cell-0");
  EXPECT_THAT(assign.spec_json(), HasSubstr("vit_mini_patch4_28"));
  EXPECT_EQ(worker.SendEvents(assign.attempt(), 0, 50, {Loss(10, 2.5)}), 50u);
  EXPECT_EQ(GetRun("study/cell-0").run().state(), v1::RUN_STATE_RUNNING);
  EXPECT_EQ(GetRun("study/cell-0").run().step(), 10);
  Finish(worker, assign.attempt(), 50);
  const v1::RunDetail run = GetRun("1");
  EXPECT_EQ(run.run().state(), v1::RUN_STATE_SUCCEEDED);
  EXPECT_EQ(run.run().best().top1(), 0.75);
  EXPECT_EQ(run.result().steps(), 30);
  EXPECT_EQ(run.attempts(0).outcome(), "succeeded");
  EXPECT_GT(GetSweep("study").ended_unix_us(), 0);
  std::string content;
  EXPECT_TRUE(worker.Download(Sha256Hex("weights"), &content).ok());
  EXPECT_EQ(content, "weights");
}

TEST_F(ServiceTest, BatchesAreTakenOnceAndInOrder) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  EXPECT_EQ(worker.SendEvents(attempt, 8, 50, {Loss(1, 1)}), 50u);
  EXPECT_EQ(worker.SendEvents(attempt, 8, 50, {Loss(1, 99)}), 50u);    // again
  EXPECT_EQ(worker.SendEvents(attempt, 90, 120, {Loss(3, 99)}), 50u);  // a gap
  EXPECT_EQ(worker.SendEvents(attempt, 50, 90, {Loss(2, 2)}), 90u);
  const auto points = Metrics("1");
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].value(), 1);
  EXPECT_EQ(points[1].step(), 2);
}

TEST_F(ServiceTest, AWorkerWhoseFilesMoveIsNotHung) {
  options_.policy.hung_after = absl::Minutes(2);
  Reopen();
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  EXPECT_EQ(worker.SendEvents(attempt, 0, 50, {Loss(1, 1)}), 50u);
  for (int i = 0; i < 12; ++i) {
    Step();
    EXPECT_EQ(worker.SendEvents(attempt, 50, 50, {}), 50u);
  }
  EXPECT_EQ(GetRun("1").attempts_size(), 1);
  for (int i = 0; i < 12 && GetRun("1").run().state() == v1::RUN_STATE_RUNNING; ++i) {
    Step();
    worker.Beat({attempt});  // it lives, and nothing moves
  }
  EXPECT_THAT(GetRun("1").attempts(0).error(), HasSubstr("hung"));
}

TEST_F(ServiceTest, AReopenedSchedulerHasEverythingThatWasAcknowledged) {
  Submit(Request("study", 2));
  v1::Attempt attempt;
  {
    ScriptedWorker worker(channel_, "w");
    attempt = NextAssign(worker);
    EXPECT_EQ(worker.SendEvents(attempt, 0, 50, {Loss(1, 1)}), 50u);
  }
  Reopen();
  EXPECT_EQ(GetRun("1").run().state(), v1::RUN_STATE_RUNNING);
  ScriptedWorker worker(channel_, "w", {attempt});
  const v1::HeldVerdict verdict = worker.Await(v1::ToWorker::kWelcome).welcome().verdicts(0);
  EXPECT_TRUE(verdict.keep());
  EXPECT_EQ(verdict.acked_offset(), 50u);
  EXPECT_EQ(worker.SendEvents(attempt, 50, 80, {Loss(2, 2)}), 80u);
  Finish(worker, attempt, 80);
  EXPECT_EQ(Metrics("1").size(), 2u);
  EXPECT_EQ(NextAssign(worker).run_id(), 2);
}

TEST_F(ServiceTest, ARunThatBeginsAnewStandsThereAfterARestartToo) {
  Submit(Request("study", 1));
  {
    ScriptedWorker worker(channel_, "w");
    worker.SendEvents(NextAssign(worker), 0, 50, {Loss(30, 1)});
    ScriptedWorker again(channel_, "w");  // without the attempt
    EXPECT_EQ(again.Await(v1::ToWorker::kAssign).assign().resume_step(), 0);
  }
  Reopen();
  EXPECT_EQ(GetRun("1").run().step(), 0);
}

TEST_F(ServiceTest, AStaleAttemptIsRefused) {
  Submit(Request("study", 1));
  ScriptedWorker first(channel_, "w");
  const v1::Attempt stale = NextAssign(first);
  // The same worker without the attempt: it is lost, and assigned anew.
  ScriptedWorker second(channel_, "w");
  const v1::Attempt live = NextAssign(second);
  EXPECT_EQ(live.number(), stale.number() + 1);
  EXPECT_EQ(first.AwaitEnd().error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);  // the older session is closed

  v1::FromWorker message;
  *message.mutable_events()->mutable_attempt() = stale;
  message.mutable_events()->set_begin_offset(8);
  message.mutable_events()->set_end_offset(50);
  *message.mutable_events()->add_events() = Loss(1, 99);
  second.Send(message);
  EXPECT_EQ(second.Await(v1::ToWorker::kStop).stop().attempt().number(), stale.number());
  EXPECT_EQ(second.Upload(stale, "x", Sha256Hex("x")).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  second.SendEnd(stale, true);  // acknowledged, so that it is not sent for ever
  EXPECT_EQ(GetRun("1").run().state(), v1::RUN_STATE_RUNNING);
  EXPECT_TRUE(Metrics("1").empty());
}

TEST_F(ServiceTest, SuccessWithoutItsFilesIsNone) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  worker.SendEvents(attempt, 0, 50, {FinishedWith(kModelFile, "never uploaded")});
  worker.SendEnd(attempt, true);
  EXPECT_EQ(GetRun("1").run().state(), v1::RUN_STATE_PENDING);
}

TEST_F(ServiceTest, ALeaseExpiresAndTheRunGoesElsewhere) {
  Submit(Request("study", 1));
  ScriptedWorker silent(channel_, "silent");
  NextAssign(silent);
  ScriptedWorker other(channel_, "other");
  other.Await(v1::ToWorker::kWelcome);
  for (int i = 0; i < 6 && GetRun("1").run().attempt() < 2; ++i) {
    Step();
    other.Beat();
  }
  EXPECT_EQ(GetRun("1").run().worker(), "other");
  EXPECT_EQ(GetRun("1").attempts(0).outcome(), "lost");
}

TEST_F(ServiceTest, MisbehavingWorkersCostThemselvesOnly) {
  ScriptedWorker good(channel_, "good");
  good.Await(v1::ToWorker::kWelcome);
  {
    ScriptedWorker twice(channel_, "twice");
    v1::FromWorker hello;
    hello.mutable_hello();
    twice.Send(hello);
    EXPECT_EQ(twice.AwaitEnd().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  {
    ScriptedWorker bad(channel_, "bad id");
    EXPECT_EQ(bad.AwaitEnd().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  Submit(Request("study", 1));
  EXPECT_EQ(NextAssign(good).run_id(), 1);
}

TEST_F(ServiceTest, NumbersThatCannotBeAreNotKnown) {
  Submit(Request("study", 3));
  ScriptedWorker worker(channel_, "w");
  for (const double seconds : {double{NAN}, -5.0, 0.0}) {
    const v1::Attempt attempt = NextAssign(worker);
    v1::FromWorker beat;
    v1::AttemptProgress* progress = beat.mutable_heartbeat()->add_attempts();
    *progress->mutable_attempt() = attempt;
    progress->set_images_per_s(NAN);
    worker.Send(beat);
    v1::Event finished = FinishedWith(kModelFile, "weights");
    v1::RunResult* result = finished.mutable_finished()->mutable_result();
    result->set_train_seconds(seconds);
    result->mutable_memory()->set_micro_batch(32);
    result->mutable_memory()->set_gradient_checkpointing("none");
    result->mutable_memory()->set_rss_peak_bytes(3'000'000'000);
    ASSERT_TRUE(worker.Upload(attempt, "weights", Sha256Hex("weights")).ok());
    EXPECT_EQ(worker.SendEvents(attempt, 0, 50, {finished}), 50u);
    EXPECT_EQ(GetRun(absl::StrCat(attempt.run_id())).run().images_per_s(), 0);
    worker.SendEnd(attempt, true);
  }
  EXPECT_EQ(GetSweep("study").succeeded(), 3);
}

// A state directory that was copied: each would end the other's sessions for ever.
TEST_F(ServiceTest, TwoWorkersOfOneIdAreTold) {
  ScriptedWorker first(channel_, "w");
  first.Await(v1::ToWorker::kWelcome);
  ScriptedWorker second(channel_, "w");
  second.Await(v1::ToWorker::kWelcome);
  const grpc::Status told = first.AwaitEnd();
  EXPECT_EQ(told.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(told.error_message(), HasSubstr("state directory was copied"));
}

TEST_F(ServiceTest, ACopyOfALivingWorkerTakesNothingFromIt) {
  scheduler_.reset();
  options_.listen = {"127.0.0.1:0"};  // where connections can be told apart
  options_.heartbeat_ms = 5'000;
  Open();
  Submit(Request("study", 1));
  ScriptedWorker first(channel_, "w");
  const v1::Attempt attempt = NextAssign(first);
  ScriptedWorker copy(MakeChannel(scheduler_->address()), "w");
  const grpc::Status told = copy.AwaitEnd();
  EXPECT_EQ(told.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_THAT(told.error_message(), HasSubstr("state directory was copied"));
  Finish(first, attempt);
  EXPECT_EQ(GetSweep("study").succeeded(), 1);
  Step();  // not heard of so long, its line may have died in silence
  ScriptedWorker again(MakeChannel(scheduler_->address()), "w");
  again.Await(v1::ToWorker::kWelcome);
}

TEST_F(ServiceTest, ALongGoodbyeIsCutShort) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  NextAssign(worker);
  v1::FromWorker goodbye;
  goodbye.mutable_goodbye()->set_reason(std::string(1'000'000, 'x'));
  worker.Send(goodbye);
  EXPECT_TRUE(worker.AwaitEnd().ok());
  EXPECT_LT(GetRun("1").ByteSizeLong(), 100'000u);
}

TEST_F(ServiceTest, ALongRefusalIsCutBetweenCharacters) {
  ScriptedWorker worker(channel_, "w");
  v1::FromWorker beat;
  std::string& why = *beat.mutable_heartbeat()->mutable_refuses() = "x";
  for (int i = 0; i < 1000; ++i) why += "\u00e9";
  worker.Send(beat);
  worker.Flush();
  const auto workers = Call(&v1::SweepService::Stub::ListWorkers, v1::ListWorkersRequest());
  EXPECT_EQ(workers.workers(0).refuses(), why.substr(0, 499));
}

TEST_F(ServiceTest, WhatAWorkerSaysCannotSteerATerminal) {
  ScriptedWorker bad(channel_, "w", {}, "w\x1b[2J");
  const grpc::Status refused = bad.AwaitEnd();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("worker name 'w\\x1b[2J'"));
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  v1::Event line;
  line.mutable_log()->set_level("\x1b[2J");
  line.mutable_log()->set_text("hello");
  worker.SendEvents(NextAssign(worker), 0, 50, {line});
  v1::GetLogsRequest request;
  request.set_run("1");
  EXPECT_EQ(Call(&v1::SweepService::Stub::GetLogs, request).lines(0).level(), "error");
}

}  // namespace
}  // namespace qsweep
