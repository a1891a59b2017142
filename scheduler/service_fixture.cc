#include "scheduler/service_fixture.h"

#include <grpc/grpc.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/rpc.h"

namespace qsweep {

void ServiceTest::SetUpTestSuite() { grpc_init(); }

ServiceTest::ServiceTest() {
  options_.data_directory = JoinPath(root_, "data");
  options_.listen = {absl::StrCat("unix:", JoinPath(root_, "socket"))};
  options_.heartbeat_ms = 50;
}

void ServiceTest::Open(const SchedulerOptions& options) {
  auto started = Scheduler::Start(options, clock_);
  ASSERT_TRUE(started.ok()) << started.status();
  scheduler_ = *std::move(started);
  channel_ = MakeChannel(scheduler_->address());
  sweeps_ = v1::SweepService::NewStub(channel_);
}

v1::SubmitSweepRequest ServiceTest::Request(const std::string& name, int cells,
                                            const std::string& method) {
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

v1::SubmitSweepReply ServiceTest::Submit(const v1::SubmitSweepRequest& request) {
  return Call(&v1::SweepService::Stub::SubmitSweep, request);
}

v1::RunDetail ServiceTest::GetRun(const std::string& run) {
  v1::GetRunRequest request;
  request.set_run(run);
  return Call(&v1::SweepService::Stub::GetRun, request);
}

v1::Sweep ServiceTest::GetSweep(const std::string& sweep) {
  v1::GetSweepRequest request;
  request.set_sweep(sweep);
  return Call(&v1::SweepService::Stub::GetSweep, request);
}

std::vector<v1::MetricPoint> ServiceTest::Metrics(const std::string& run) {
  v1::GetMetricsRequest request;
  request.set_run(run);
  const auto reply = Call(&v1::SweepService::Stub::GetMetrics, request);
  return {reply.points().begin(), reply.points().end()};
}

void ServiceTest::Finish(ScriptedWorker& worker, const v1::Attempt& attempt, uint64_t offset) {
  ASSERT_TRUE(worker.Upload(attempt, "weights", Sha256Hex("weights")).ok());
  worker.SendEvents(attempt, offset, offset + 100, {FinishedWith(kModelFile, "weights")});
  worker.SendEnd(attempt, true);
}

v1::Attempt ServiceTest::NextAssign(ScriptedWorker& worker) {
  return worker.Await(v1::ToWorker::kAssign).assign().attempt();
}

void ServiceTest::StoreCheckpoints(ScriptedWorker& worker, const v1::Attempt& attempt) {
  for (const std::string content : {"ten", "twenty"}) {
    ASSERT_TRUE(worker.Upload(attempt, content, Sha256Hex(content)).ok());
  }
  worker.SendEvents(attempt, 0, 100, {CheckpointAt(10, "ten"), CheckpointAt(20, "twenty")});
}

void ServiceTest::StopAfterACheckpoint() {
  Submit(Request("study", 1));
  {
    ScriptedWorker worker(channel_, "w");
    const v1::Attempt attempt = NextAssign(worker);
    ASSERT_TRUE(worker.Upload(attempt, "ten", Sha256Hex("ten")).ok());
    worker.SendEvents(attempt, 0, 100, {CheckpointAt(10, "ten")});
  }
  scheduler_.reset();
}

}  // namespace qsweep
