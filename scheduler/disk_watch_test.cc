// A real scheduler on a disk whose free space the test decides.
#include "scheduler/disk_watch.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/rpc.h"
#include "common/version.h"
#include "qsweep/v1/sweep.grpc.pb.h"
#include "qsweep/v1/worker.grpc.pb.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/cell.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;
constexpr absl::Duration kHungAfter = absl::Seconds(1);

class DiskWatchTest : public testing::Test {
 protected:
  DiskWatchTest() {
    directory_ = testing::TempDir() + "qs-XXXXXX";
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    SchedulerOptions options;
    options.data_directory = JoinPath(directory_, "data");
    options.listen = {absl::StrCat("unix:", JoinPath(directory_, "socket"))};
    options.policy.hung_after = kHungAfter;
    options.disk_reserve_bytes = 500 * kMiB;
    options.disk_interval = absl::Milliseconds(10);
    options.free_disk_bytes = [this] { return free_.load(); };
    options.metrics_address = "127.0.0.1:0";
    scheduler_ = *Scheduler::Start(options, SystemClock());
    channel_ = MakeChannel(scheduler_->address());
    sweeps_ = v1::SweepService::NewStub(channel_);
  }
  ~DiskWatchTest() override {
    context_.TryCancel();
    stream_.reset();
    scheduler_.reset();
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }

  grpc::Status Submit(const std::string& name) {
    grpc::ClientContext context;
    v1::SubmitSweepRequest request;
    request.set_request_id(name);
    request.set_name(name);
    *request.add_cells() = CellWithoutWeights();
    v1::SubmitSweepReply reply;
    return sweeps_->SubmitSweep(&context, request, &reply);
  }
  // A worker that could do the run.
  void Connect() {
    context_.set_deadline(gpr_time_from_seconds(30, GPR_TIMESPAN));
    worker_ = v1::WorkerService::NewStub(channel_);
    stream_ = worker_->Session(&context_);
    v1::FromWorker hello;
    v1::WorkerInfo* info = hello.mutable_hello()->mutable_info();
    info->set_id("w");
    info->set_name("w");
    info->set_protocol(kProtocol);
    info->set_slots(1);
    info->add_datasets("fashion_mnist");
    stream_->Write(hello);
  }
  grpc::Status Upload(const v1::Attempt& attempt, int64_t bytes) {
    grpc::ClientContext context;
    v1::UploadReply reply;
    const auto writer = worker_->UploadArtifact(&context, &reply);
    const std::string piece(kMiB, 'x');
    v1::ArtifactChunk chunk;
    *chunk.mutable_header()->mutable_attempt() = attempt;
    chunk.mutable_header()->set_bytes(bytes);
    chunk.mutable_header()->set_sha256(Sha256Hex(std::string(bytes, 'x')));
    writer->Write(chunk);
    chunk.set_data(piece);
    for (int64_t sent = 0; sent < bytes; sent += kMiB) writer->Write(chunk);
    writer->WritesDone();
    return writer->Finish();
  }
  v1::ListWorkersReply Workers() {
    grpc::ClientContext context;
    v1::ListWorkersReply reply;
    EXPECT_TRUE(sweeps_->ListWorkers(&context, v1::ListWorkersRequest(), &reply).ok());
    return reply;
  }
  std::string Waiting() {
    grpc::ClientContext context;
    v1::GetRunRequest request;
    request.set_run("1");
    v1::RunDetail detail;
    EXPECT_TRUE(sweeps_->GetRun(&context, request, &detail).ok());
    return detail.run().waiting();
  }
  std::string Metrics() {
    httplib::Client client("http://" + scheduler_->metrics_address());
    const auto page = client.Get("/metrics");
    return page ? page->body : "";
  }
  template <typename Condition>
  static void Await(const Condition& condition) {
    const absl::Duration deadline = SystemClock().Monotonic() + absl::Seconds(30);
    while (!condition()) {
      ASSERT_LT(SystemClock().Monotonic(), deadline);
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

  std::atomic<int64_t> free_ = 1000 * kMiB;
  std::string directory_;
  std::unique_ptr<Scheduler> scheduler_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
  std::unique_ptr<v1::WorkerService::Stub> worker_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;
};

TEST_F(DiskWatchTest, TakesNoWorkBeforeTheDiskIsFullAndGoesOnUnaided) {
  EXPECT_TRUE(Submit("first").ok());
  EXPECT_THAT(Metrics(), HasSubstr("qsweep_holding 0\n"));
  EXPECT_THAT(Metrics(), HasSubstr("qsweep_runs{state=\"pending\"} 1\n"));
  free_ = 499 * kMiB;
  Await([&] { return Waiting().find("nearly full: 499 MiB are free") != std::string::npos; });
  EXPECT_THAT(Metrics(), HasSubstr("qsweep_holding 1\n"));
  const grpc::Status refused = Submit("second");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("make room there"));

  // A worker with room for the run is welcome and gets nothing.
  Connect();
  v1::ToWorker message;
  ASSERT_TRUE(stream_->Read(&message));
  EXPECT_TRUE(message.has_welcome());
  EXPECT_THAT(Waiting(), HasSubstr("nearly full"));

  free_ = 510 * kMiB;  // room for the reserve, but not for a tenth more: no flutter
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_THAT(Waiting(), HasSubstr("nearly full"));
  free_ = 551 * kMiB;
  ASSERT_TRUE(stream_->Read(&message));
  EXPECT_TRUE(message.has_assign()) << message.ShortDebugString();
  EXPECT_TRUE(Submit("second").ok());
}

TEST_F(DiskWatchTest, AWorkerThatRefusesIsLeftAloneUntilItDoesNot) {
  Connect();
  v1::ToWorker message;
  ASSERT_TRUE(stream_->Read(&message));
  EXPECT_TRUE(message.has_welcome());
  v1::FromWorker beat;
  beat.mutable_heartbeat()->set_refuses("its disk is nearly full");
  stream_->Write(beat);
  Await([&] { return Workers().workers(0).refuses() == "its disk is nearly full"; });
  EXPECT_TRUE(Submit("first").ok());
  EXPECT_EQ(Waiting(), "w takes no runs: its disk is nearly full");
  beat.mutable_heartbeat()->clear_refuses();
  stream_->Write(beat);
  ASSERT_TRUE(stream_->Read(&message));
  EXPECT_TRUE(message.has_assign()) << message.ShortDebugString();
}

TEST_F(DiskWatchTest, AnUploadThatWouldFillTheDiskWaitsAndItsRunIsNotHung) {
  Connect();
  EXPECT_TRUE(Submit("first").ok());
  v1::ToWorker message;
  while (stream_->Read(&message) && !message.has_assign()) continue;
  const v1::Attempt attempt = message.assign().attempt();
  free_ = 252 * kMiB;  // half of the reserve and 2 MiB
  const absl::Duration end = SystemClock().Monotonic() + 2 * kHungAfter;
  while (SystemClock().Monotonic() < end) {
    const grpc::Status refused = Upload(attempt, 3 * kMiB);
    ASSERT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(refused.error_message(), HasSubstr("an upload of 3 MiB"));
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_TRUE(Upload(attempt, kMiB).ok());
  free_ = 253 * kMiB;
  EXPECT_TRUE(Upload(attempt, 3 * kMiB).ok());  // of an attempt that lives
}

}  // namespace
}  // namespace qsweep
