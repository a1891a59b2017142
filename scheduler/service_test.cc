// A real scheduler on a Unix socket, with scripted clients.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <ctime>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/attempt_dir.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/rpc.h"
#include "common/version.h"
#include "qsweep/v1/sweep.grpc.pb.h"
#include "qsweep/v1/worker.grpc.pb.h"
#include "scheduler/scheduler.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

// A worker's side of the protocol, one message at a time.
class ScriptedWorker {
 public:
  ScriptedWorker(std::shared_ptr<grpc::Channel> channel, const std::string& id,
                 std::vector<v1::Attempt> held = {})
      : stub_(v1::WorkerService::NewStub(channel)) {
    context_.set_deadline(gpr_time_from_seconds(30, GPR_TIMESPAN));
    stream_ = stub_->Session(&context_);
    v1::FromWorker message;
    v1::WorkerInfo* info = message.mutable_hello()->mutable_info();
    info->set_id(id);
    info->set_name(id);
    info->set_protocol(kProtocol);
    info->set_slots(1);
    info->set_memory_bytes(int64_t{64} << 30);
    info->add_datasets("fashion_mnist");
    for (const v1::Attempt& attempt : held) {
      *message.mutable_hello()->add_held()->mutable_attempt() = attempt;
    }
    Send(message);
  }
  ~ScriptedWorker() { context_.TryCancel(); }

  void Send(const v1::FromWorker& message) { stream_->Write(message); }
  // The next message of this kind; others are skipped.
  v1::ToWorker Await(v1::ToWorker::KindCase kind) {
    v1::ToWorker message;
    while (stream_->Read(&message)) {
      if (message.kind_case() == kind) return message;
    }
    ADD_FAILURE() << "the stream ended: " << stream_->Finish().error_message();
    return {};
  }
  grpc::Status AwaitEnd() {
    v1::ToWorker message;
    while (stream_->Read(&message)) {
    }
    return stream_->Finish();
  }

  // Sends events as the bytes [begin, end) of a log, and returns the offset acknowledged.
  uint64_t SendEvents(const v1::Attempt& attempt, uint64_t begin, uint64_t end,
                      std::vector<v1::Event> events) {
    v1::FromWorker message;
    v1::EventBatch* batch = message.mutable_events();
    *batch->mutable_attempt() = attempt;
    batch->set_begin_offset(begin);
    batch->set_end_offset(end);
    for (v1::Event& event : events) *batch->add_events() = std::move(event);
    Send(message);
    return Await(v1::ToWorker::kEventsAck).events_ack().offset();
  }
  void SendEnd(const v1::Attempt& attempt, bool succeeded) {
    v1::FromWorker message;
    *message.mutable_ended()->mutable_attempt() = attempt;
    message.mutable_ended()->set_succeeded(succeeded);
    message.mutable_ended()->set_blame(succeeded ? v1::BLAME_UNSPECIFIED : v1::BLAME_CONFIG);
    message.mutable_ended()->set_error(succeeded ? "" : "loss is not finite");
    Send(message);
    Await(v1::ToWorker::kEndedAck);
  }
  grpc::Status Upload(const v1::Attempt& attempt, const std::string& content,
                      const std::string& sha256, bool* stored = nullptr) {
    grpc::ClientContext context;
    v1::UploadReply reply;
    auto writer = stub_->UploadArtifact(&context, &reply);
    v1::ArtifactChunk chunk;
    chunk.mutable_header()->set_sha256(sha256);
    chunk.mutable_header()->set_bytes(static_cast<int64_t>(content.size()));
    *chunk.mutable_header()->mutable_attempt() = attempt;
    writer->Write(chunk);
    for (size_t at = 0; at < content.size(); at += 1 << 20) {
      chunk.set_data(content.substr(at, 1 << 20));
      writer->Write(chunk);
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (stored != nullptr) *stored = reply.stored();
    return status;
  }
  grpc::Status Download(const std::string& sha256, std::string* content) {
    grpc::ClientContext context;
    v1::DownloadRequest request;
    request.set_sha256(sha256);
    auto reader = stub_->DownloadArtifact(&context, request);
    v1::ArtifactChunk chunk;
    while (reader->Read(&chunk)) *content += chunk.data();
    return reader->Finish();
  }

 private:
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;
};

v1::Event Loss(int64_t step, double value) {
  v1::Event event;
  event.mutable_metrics()->set_step(step);
  v1::Point* point = event.mutable_metrics()->add_points();
  point->set_name("loss");
  point->set_value(value);
  return event;
}

v1::Event CheckpointAt(int64_t step, const std::string& content) {
  v1::Event event;
  event.mutable_checkpoint()->set_step(step);
  v1::FileFact* file = event.mutable_checkpoint()->mutable_file();
  file->set_name(absl::StrCat("checkpoint-", step, ".safetensors"));
  file->set_sha256(Sha256Hex(content));
  file->set_bytes(static_cast<int64_t>(content.size()));
  return event;
}

v1::Event FinishedWith(const std::string& name, const std::string& content) {
  v1::Event event;
  v1::RunResult* result = event.mutable_finished()->mutable_result();
  result->set_steps(30);
  result->mutable_best()->set_top1(0.75);
  v1::FileFact* file = result->add_files();
  file->set_name(name);
  file->set_sha256(Sha256Hex(content));
  file->set_bytes(static_cast<int64_t>(content.size()));
  return event;
}

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() {
    directory_ = testing::TempDir() + "qs-XXXXXX";
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    Open();
  }
  ~ServiceTest() override {
    scheduler_.reset();
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }

  void Open() {
    SchedulerOptions options;
    options.data_directory = JoinPath(directory_, "data");
    options.listen = {absl::StrCat("unix:", JoinPath(directory_, "socket"))};
    options.policy.lease = lease_;
    options.heartbeat_ms = 50;
    auto started = Scheduler::Start(options, SystemClock());
    ASSERT_TRUE(started.ok()) << started.status();
    scheduler_ = *std::move(started);
    channel_ = MakeChannel(scheduler_->address());
    sweeps_ = v1::SweepService::NewStub(channel_);
  }
  void Reopen() {
    scheduler_.reset();
    Open();
  }

  template <typename Request, typename Reply>
  using Method = grpc::Status (v1::SweepService::Stub::*)(grpc::ClientContext*, const Request&,
                                                          Reply*);
  template <typename Request, typename Reply>
  grpc::Status Try(Method<Request, Reply> method, const Request& request, Reply* reply) {
    grpc::ClientContext context;
    context.set_deadline(gpr_time_from_seconds(500, GPR_TIMESPAN));
    return ((*sweeps_).*method)(&context, request, reply);
  }
  template <typename Request, typename Reply>
  Reply Call(Method<Request, Reply> method, const Request& request) {
    Reply reply;
    const grpc::Status status = Try(method, request, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply;
  }

  // A sweep of runs on Fashion-MNIST that differ in their seeds.
  static v1::SubmitSweepRequest Request(const std::string& name, int cells,
                                        const std::string& method = "full") {
    v1::SubmitSweepRequest request;
    request.set_request_id(absl::StrCat("request-", name));
    request.set_name(name);
    for (int i = 0; i < cells; ++i) {
      v1::Cell* cell = request.add_cells();
      cell->set_name(absl::StrCat("cell-", i));
      cell->mutable_spec()->mutable_model()->set_name("vit_mini_patch4_28");
      cell->mutable_spec()->mutable_model()->set_pretrained(false);
      cell->mutable_spec()->mutable_dataset()->set_name("fashion_mnist");
      cell->mutable_spec()->mutable_training()->set_method(method);
      cell->mutable_spec()->set_seed(i);
    }
    return request;
  }
  v1::SubmitSweepReply Submit(const v1::SubmitSweepRequest& request) {
    return Call(&v1::SweepService::Stub::SubmitSweep, request);
  }
  v1::RunDetail GetRun(const std::string& run) {
    v1::GetRunRequest request;
    request.set_run(run);
    return Call(&v1::SweepService::Stub::GetRun, request);
  }
  v1::Sweep GetSweep(const std::string& sweep) {
    v1::GetSweepRequest request;
    request.set_sweep(sweep);
    return Call(&v1::SweepService::Stub::GetSweep, request);
  }
  std::vector<v1::MetricPoint> Metrics(const std::string& run) {
    v1::GetMetricsRequest request;
    request.set_run(run);
    const auto reply = Call(&v1::SweepService::Stub::GetMetrics, request);
    return {reply.points().begin(), reply.points().end()};
  }
  // Finishes the attempt with one product.
  void Finish(ScriptedWorker& worker, const v1::Attempt& attempt, uint64_t offset = 8) {
    ASSERT_TRUE(worker.Upload(attempt, "weights", Sha256Hex("weights")).ok());
    worker.SendEvents(attempt, offset, offset + 100, {FinishedWith(kModelFile, "weights")});
    worker.SendEnd(attempt, true);
  }
  v1::Attempt NextAssign(ScriptedWorker& worker) {
    return worker.Await(v1::ToWorker::kAssign).assign().attempt();
  }

  absl::Duration lease_ = absl::Seconds(60);
  std::string directory_;
  std::unique_ptr<Scheduler> scheduler_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
};

TEST_F(ServiceTest, TheSameRequestMakesOneSweep) {
  const auto request = Request("study", 3);
  const auto first = Submit(request);
  EXPECT_TRUE(first.created());
  EXPECT_EQ(first.runs(), 3);
  const auto again = Submit(request);
  EXPECT_FALSE(again.created());
  EXPECT_EQ(again.sweep_id(), first.sweep_id());
  Reopen();
  EXPECT_FALSE(Submit(request).created());
  EXPECT_EQ(Call(&v1::SweepService::Stub::ListSweeps, v1::ListSweepsRequest()).sweeps_size(), 1);
  EXPECT_EQ(GetSweep("study").pending(), 3);
}

TEST_F(ServiceTest, EveryProblemOfASubmissionIsNamed) {
  auto request = Request("a study", 3);
  request.set_priority(5000);
  v1::SubmitSweepReply reply;
  grpc::Status status = Try(&v1::SweepService::Stub::SubmitSweep, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("sweep name 'a study'"));
  EXPECT_THAT(status.error_message(), HasSubstr("priority 5000"));
  request = Request("study", 3);
  request.mutable_cells(1)->mutable_spec()->mutable_lora()->set_rank(-1);
  request.mutable_cells(2)->mutable_spec()->mutable_model()->set_name("resnet50");
  status = Try(&v1::SweepService::Stub::SubmitSweep, request, &reply);
  EXPECT_THAT(status.error_message(), HasSubstr("cell-1"));
  EXPECT_THAT(status.error_message(), HasSubstr("cell-2"));
  EXPECT_EQ(Call(&v1::SweepService::Stub::ListSweeps, v1::ListSweepsRequest()).sweeps_size(), 0);
}

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

TEST_F(ServiceTest, AStaleAttemptIsRefused) {
  Submit(Request("study", 1));
  ScriptedWorker first(channel_, "w");
  const v1::Attempt stale = NextAssign(first);
  // The same worker without the attempt: it is lost, and assigned anew.
  ScriptedWorker second(channel_, "w");
  const v1::Attempt live = NextAssign(second);
  EXPECT_EQ(live.number(), stale.number() + 1);
  EXPECT_TRUE(first.AwaitEnd().ok());  // the older session is closed

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

TEST_F(ServiceTest, ACheckpointIsWhereTheNextAttemptGoesOn) {
  Submit(Request("study", 1));
  {
    ScriptedWorker worker(channel_, "w");
    const v1::Attempt attempt = NextAssign(worker);
    for (const std::string content : {"ten", "twenty", "thirty"}) {
      ASSERT_TRUE(worker.Upload(attempt, content, Sha256Hex(content)).ok());
    }
    worker.SendEvents(
        attempt, 0, 100,
        {Loss(10, 1), CheckpointAt(10, "ten"), Loss(20, 2), CheckpointAt(20, "twenty"), Loss(30, 3),
         CheckpointAt(30, "thirty"), Loss(40, 4), CheckpointAt(40, "never uploaded")});
  }
  ScriptedWorker worker(channel_, "w");
  const v1::Assign assign = worker.Await(v1::ToWorker::kAssign).assign();
  EXPECT_EQ(assign.resume_step(), 30);
  EXPECT_EQ(assign.resume_from().sha256(), Sha256Hex("thirty"));
  EXPECT_EQ(Metrics("1").size(), 3u);  // step 40 is superseded
  std::string content;
  EXPECT_EQ(worker.Download(Sha256Hex("ten"), &content).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(worker.Download(Sha256Hex("twenty"), &content).ok());
  Finish(worker, assign.attempt());
  EXPECT_EQ(worker.Download(Sha256Hex("thirty"), &content).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, UploadsAreChecked) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  const std::string content(3'000'000, 'x');
  EXPECT_EQ(worker.Upload(attempt, content, Sha256Hex("other")).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(worker.Upload(attempt, content, "../../../etc/passwd").error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  bool stored = false;
  EXPECT_TRUE(worker.Upload(attempt, content, Sha256Hex(content), &stored).ok());
  EXPECT_TRUE(stored);
  EXPECT_TRUE(worker.Upload(attempt, content, Sha256Hex(content), &stored).ok());
  EXPECT_FALSE(stored);
  std::string back;
  EXPECT_TRUE(worker.Download(Sha256Hex(content), &back).ok());
  EXPECT_EQ(back, content);
  const auto left = ListDirectory(JoinPath(directory_, "data/artifacts/incoming"));
  EXPECT_TRUE(left.value().empty());
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
  lease_ = absl::Milliseconds(300);
  Reopen();
  Submit(Request("study", 1));
  ScriptedWorker silent(channel_, "silent");
  NextAssign(silent);
  ScriptedWorker other(channel_, "other");
  other.Await(v1::ToWorker::kWelcome);
  for (int i = 0; i < 100 && GetRun("1").run().attempt() < 2; ++i) {
    other.Send([] {
      v1::FromWorker message;
      message.mutable_heartbeat();
      return message;
    }());
    absl::SleepFor(absl::Milliseconds(30));
  }
  EXPECT_EQ(GetRun("1").run().worker(), "other");
  EXPECT_EQ(GetRun("1").attempts(0).outcome(), "lost");
}

TEST_F(ServiceTest, FinishedCellsAreReusedAcrossSweepsAndRestarts) {
  Submit(Request("first", 1));
  {
    ScriptedWorker worker(channel_, "w");
    const v1::Attempt attempt = NextAssign(worker);
    worker.SendEvents(attempt, 0, 50, {Loss(1, 1)});
    Finish(worker, attempt, 50);
  }
  Reopen();
  const auto reply = Submit(Request("second", 2));
  EXPECT_EQ(reply.reused(), 1);
  const v1::RunDetail run = GetRun("second/cell-0");
  EXPECT_EQ(run.run().reused_run_id(), 1);
  EXPECT_EQ(run.run().best().top1(), 0.75);
  EXPECT_EQ(run.result().steps(), 30);
  EXPECT_EQ(Metrics("second/cell-0").size(), 1u);
  EXPECT_EQ(GetSweep("second").succeeded(), 1);
}

TEST_F(ServiceTest, WeightsOfAnotherRunAreWaitedForAndHandedOver) {
  auto consumer = Request("adapters", 1, "lora");
  v1::Model* model = consumer.mutable_cells(0)->mutable_spec()->mutable_model();
  model->set_pretrained(true);
  model->set_weights("run:base/cell-0");
  v1::SubmitSweepReply reply;
  grpc::Status status = Try(&v1::SweepService::Stub::SubmitSweep, consumer, &reply);
  EXPECT_THAT(status.error_message(), HasSubstr("no sweep 'base'"));

  Submit(Request("base", 1));
  Submit(consumer);
  EXPECT_THAT(GetRun("adapters/cell-0").run().waiting(), HasSubstr("waits for the weights of run"));
  EXPECT_EQ(GetRun("adapters/cell-0").spec().model().weights(), "run:" + GetRun("1").run().key());
  ScriptedWorker worker(channel_, "w");
  Finish(worker, NextAssign(worker));
  EXPECT_EQ(worker.Await(v1::ToWorker::kAssign).assign().weights().sha256(), Sha256Hex("weights"));

  auto wrong = Request("wrong", 1, "lora");
  *wrong.mutable_cells(0)->mutable_spec()->mutable_model() = *model;
  wrong.mutable_cells(0)->mutable_spec()->mutable_model()->set_weights("run:adapters/cell-0");
  status = Try(&v1::SweepService::Stub::SubmitSweep, wrong, &reply);
  EXPECT_THAT(status.error_message(), HasSubstr("training.method: full"));
}

TEST_F(ServiceTest, CancelAndRetry) {
  Submit(Request("study", 2));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  v1::CancelRequest cancel;
  cancel.set_sweep("study");
  EXPECT_EQ(Call(&v1::SweepService::Stub::Cancel, cancel).cancelled(), 2);
  EXPECT_EQ(worker.Await(v1::ToWorker::kStop).stop().attempt().run_id(), attempt.run_id());
  EXPECT_EQ(GetSweep("study").cancelled(), 2);
  EXPECT_GT(GetSweep("study").ended_unix_us(), 0);
  v1::RetryRequest retry;
  retry.set_run("study/cell-1");
  EXPECT_EQ(Call(&v1::SweepService::Stub::Retry, retry).retried(), 1);
  EXPECT_EQ(GetSweep("study").pending() + GetSweep("study").running(), 1);
  EXPECT_EQ(GetSweep("study").ended_unix_us(), 0);
}

TEST_F(ServiceTest, ListsArePagedAndBadTokensRefused) {
  Submit(Request("study", 25));
  v1::ListRunsRequest request;
  request.set_sweep("study");
  request.set_page_size(10);
  std::vector<std::string> names;
  do {
    const auto reply = Call(&v1::SweepService::Stub::ListRuns, request);
    for (const v1::Run& run : reply.runs()) names.push_back(run.name());
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  ASSERT_EQ(names.size(), 25u);
  EXPECT_EQ(names[24], "cell-24");
  v1::ListRunsReply reply;
  for (const char* token : {"x", "-1", "99999999999999999999"}) {
    request.set_page_token(token);
    EXPECT_EQ(Try(&v1::SweepService::Stub::ListRuns, request, &reply).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT)
        << token;
  }
  request.clear_page_token();
  request.set_page_size(1'000'000);
  EXPECT_EQ(Try(&v1::SweepService::Stub::ListRuns, request, &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.set_sweep("nobody");
  request.set_page_size(0);
  EXPECT_EQ(Try(&v1::SweepService::Stub::ListRuns, request, &reply).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, AWatchSeesChangesAndEndsWithItsSweep) {
  Submit(Request("study", 1));
  grpc::ClientContext context;
  v1::GetSweepRequest request;
  request.set_sweep("study");
  auto reader = sweeps_->WatchSweep(&context, request);
  v1::SweepUpdate update;
  ASSERT_TRUE(reader->Read(&update));
  EXPECT_EQ(update.sweep().pending(), 1);
  EXPECT_EQ(update.changed_size(), 0);
  ScriptedWorker worker(channel_, "w");
  Finish(worker, NextAssign(worker));
  int updates = 1;
  v1::RunState last = v1::RUN_STATE_UNSPECIFIED;
  while (reader->Read(&update)) {
    ++updates;
    for (const v1::Run& run : update.changed()) last = run.state();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(last, v1::RUN_STATE_SUCCEEDED);
  EXPECT_EQ(update.sweep().succeeded(), 1);
  EXPECT_LE(updates, 6);
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

TEST_F(ServiceTest, OneSchedulerADirectoryAndAnAddress) {
  SchedulerOptions options;
  options.data_directory = JoinPath(directory_, "data");
  options.listen = {absl::StrCat("unix:", JoinPath(directory_, "other"))};
  absl::Status status = Scheduler::Start(options, SystemClock()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("another scheduler works in"));
  options.data_directory = JoinPath(directory_, "data2");
  options.listen = {scheduler_->address()};
  status = Scheduler::Start(options, SystemClock()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot listen there"));
  EXPECT_EQ(Call(&v1::SweepService::Stub::ListSweeps, v1::ListSweepsRequest()).sweeps_size(), 0);
}

TEST_F(ServiceTest, AFreePortIsFoundAndWrittenDown) {
  SchedulerOptions options;
  options.data_directory = JoinPath(directory_, "data2");
  options.listen = {"127.0.0.1:0"};
  auto second = Scheduler::Start(options, SystemClock()).value();
  const std::string address = ReadFile(JoinPath(options.data_directory, "address"), 1000).value();
  EXPECT_EQ(address, second->address() + "\n");
  EXPECT_FALSE(absl::EndsWith(second->address(), ":0"));
  auto stub = v1::SweepService::NewStub(MakeChannel(second->address()));
  grpc::ClientContext context;
  v1::ListWorkersReply reply;
  EXPECT_TRUE(stub->ListWorkers(&context, {}, &reply).ok());
}

TEST_F(ServiceTest, FilesThatNobodyNeedsAreSweptAtTheStart) {
  scheduler_.reset();
  const std::string orphan(64, 'a');
  const std::string shelf = JoinPath(directory_, "data/artifacts/aa");
  ASSERT_TRUE(MakeDirectories(shelf).ok());
  ASSERT_TRUE(WriteFileAtomic(JoinPath(shelf, orphan.substr(2)), "x").ok());
  Open();
  EXPECT_FALSE(PathExists(JoinPath(shelf, orphan.substr(2))));
}

TEST_F(ServiceTest, ALostCheckpointFileCostsOnlyTheStepsSinceTheOneBefore) {
  Submit(Request("study", 1));
  {
    ScriptedWorker worker(channel_, "w");
    const v1::Attempt attempt = NextAssign(worker);
    ASSERT_TRUE(worker.Upload(attempt, "ten", Sha256Hex("ten")).ok());
    ASSERT_TRUE(worker.Upload(attempt, "twenty", Sha256Hex("twenty")).ok());
    worker.SendEvents(attempt, 0, 100, {CheckpointAt(10, "ten"), CheckpointAt(20, "twenty")});
  }
  scheduler_.reset();
  const std::string lost = Sha256Hex("twenty");
  ASSERT_TRUE(
      RemoveTree(JoinPath(directory_, absl::StrCat("data/artifacts/", lost.substr(0, 2)))).ok());
  Open();
  ScriptedWorker worker(channel_, "w");
  EXPECT_EQ(worker.Await(v1::ToWorker::kAssign).assign().resume_step(), 10);
}

// In processor time, so that a busy machine changes nothing: measured 4 s for both together, and
// the limit is there to catch work for each run that grows with the number of runs.
TEST_F(ServiceTest, AHundredThousandCellsTakeSeconds) {
  const auto request = Request("large", 100'000);
  const std::clock_t start = std::clock();
  EXPECT_EQ(Submit(request).runs(), 100'000);
  EXPECT_EQ(GetSweep("large").pending(), 100'000);
  Reopen();
  EXPECT_EQ(GetSweep("large").pending(), 100'000);
  EXPECT_LT(std::clock() - start, 40 * CLOCKS_PER_SEC);
}

}  // namespace
}  // namespace qsweep
