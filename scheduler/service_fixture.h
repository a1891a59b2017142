// For tests: a real scheduler on a Unix socket, with scripted clients.
#ifndef QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_
#define QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_

#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/attempt_dir.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/rpc.h"
#include "common/testing/file_tree.h"
#include "common/testing/shifted_clock.h"
#include "qsweep/v1/sweep.grpc.pb.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/scripted_worker.h"

namespace qsweep {

class ServiceTest : public FileTreeTest {
 protected:
  // gRPC stays up between tests: its end waits, now and then, 10 s for a poller of its own.
  static void SetUpTestSuite() { grpc_init(); }
  ServiceTest() {
    options_.data_directory = JoinPath(root_, "data");
    options_.listen = {absl::StrCat("unix:", JoinPath(root_, "socket"))};
    options_.heartbeat_ms = 50;
  }
  void SetUp() override { Open(); }
  void TearDown() override { scheduler_.reset(); }

  void Open() { Open(options_); }
  void Open(const SchedulerOptions& options) {
    auto started = Scheduler::Start(options, clock_);
    ASSERT_TRUE(started.ok()) << started.status();
    scheduler_ = *std::move(started);
    channel_ = MakeChannel(scheduler_->address());
    sweeps_ = v1::SweepService::NewStub(channel_);
  }
  void Reopen() {
    scheduler_.reset();
    Open();
  }
  // Time goes on; the scheduler sees it with the next message. Less than a third of a lease, which
  // would be a standstill of the scheduler's own.
  void Step() { clock_.Advance(15); }

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
  template <typename Condition>
  static void Await(const Condition& condition) {
    const absl::Duration deadline = SystemClock().Monotonic() + absl::Minutes(2);
    while (!condition()) {
      ASSERT_LT(SystemClock().Monotonic(), deadline) << "waited for two minutes";
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  v1::Attempt NextAssign(ScriptedWorker& worker) {
    return worker.Await(v1::ToWorker::kAssign).assign().attempt();
  }
  // Checkpoints of step 10, "ten", and step 20, "twenty".
  void StoreCheckpoints(ScriptedWorker& worker, const v1::Attempt& attempt) {
    for (const std::string content : {"ten", "twenty"}) {
      ASSERT_TRUE(worker.Upload(attempt, content, Sha256Hex(content)).ok());
    }
    worker.SendEvents(attempt, 0, 100, {CheckpointAt(10, "ten"), CheckpointAt(20, "twenty")});
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

  SchedulerOptions options_;
  ShiftedClock clock_;
  std::unique_ptr<Scheduler> scheduler_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_
