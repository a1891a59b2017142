// For tests: a real scheduler on a Unix socket, with scripted clients.
#ifndef QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_
#define QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

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

// A worker's side of the protocol, one message at a time.
class ScriptedWorker {
 public:
  ScriptedWorker(std::shared_ptr<grpc::Channel> channel, const std::string& id,
                 std::vector<v1::Attempt> held = {}, const std::string& name = "")
      : stub_(v1::WorkerService::NewStub(channel)) {
    context_.set_deadline(gpr_time_from_seconds(30, GPR_TIMESPAN));
    stream_ = stub_->Session(&context_);
    v1::FromWorker message;
    v1::WorkerInfo* info = message.mutable_hello()->mutable_info();
    info->set_id(id);
    info->set_name(name.empty() ? id : name);
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

inline v1::Event Loss(int64_t step, double value) {
  v1::Event event;
  event.mutable_metrics()->set_step(step);
  v1::Point* point = event.mutable_metrics()->add_points();
  point->set_name("loss");
  point->set_value(value);
  return event;
}

inline v1::Event CheckpointAt(int64_t step, const std::string& content) {
  v1::Event event;
  event.mutable_checkpoint()->set_step(step);
  v1::FileFact* file = event.mutable_checkpoint()->mutable_file();
  file->set_name(absl::StrCat("checkpoint-", step, ".safetensors"));
  file->set_sha256(Sha256Hex(content));
  file->set_bytes(static_cast<int64_t>(content.size()));
  return event;
}

inline v1::Event FinishedWith(const std::string& name, const std::string& content) {
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

  SchedulerOptions Options() const {
    SchedulerOptions options;
    options.data_directory = JoinPath(directory_, "data");
    options.listen = {absl::StrCat("unix:", JoinPath(directory_, "socket"))};
    options.policy.lease = lease_;
    options.heartbeat_ms = 50;
    return options;
  }
  void Open() { Open(Options()); }
  void Open(const SchedulerOptions& options) {
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
  // A sweep "study" whose run has a checkpoint of step 10, "ten", when the scheduler stops.
  void StopAfterACheckpoint() {
    Submit(Request("study", 1));
    {
      ScriptedWorker worker(channel_, "w");
      const v1::Attempt attempt = NextAssign(worker);
      ASSERT_TRUE(worker.Upload(attempt, "ten", Sha256Hex("ten")).ok());
      worker.SendEvents(attempt, 0, 100, {CheckpointAt(10, "ten")});
    }
    scheduler_.reset();
  }

  absl::Duration lease_ = absl::Seconds(60);
  std::string directory_;
  std::unique_ptr<Scheduler> scheduler_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_
