// For tests: a real scheduler on a Unix socket, with scripted clients.
#ifndef QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_
#define QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/testing/file_tree.h"
#include "common/testing/shifted_clock.h"
#include "qsweep/v1/sweep.grpc.pb.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/scripted_worker.h"

namespace qsweep {

class ServiceTest : public FileTreeTest {
 protected:
  // gRPC stays up between tests: its end waits, now and then, 10 s for a poller of its own.
  static void SetUpTestSuite();
  ServiceTest();
  void SetUp() override { Open(); }
  void TearDown() override { scheduler_.reset(); }

  void Open() { Open(options_); }
  void Open(const SchedulerOptions& options);
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
                                        const std::string& method = "full");
  v1::SubmitSweepReply Submit(const v1::SubmitSweepRequest& request);
  v1::RunDetail GetRun(const std::string& run);
  v1::Sweep GetSweep(const std::string& sweep);
  std::vector<v1::MetricPoint> Metrics(const std::string& run);
  // Finishes the attempt with one product.
  void Finish(ScriptedWorker& worker, const v1::Attempt& attempt, uint64_t offset = 8);
  template <typename Condition>
  static void Await(const Condition& condition) {
    const absl::Duration deadline = SystemClock().Monotonic() + absl::Minutes(2);
    while (!condition()) {
      ASSERT_LT(SystemClock().Monotonic(), deadline) << "waited for two minutes";
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  v1::Attempt NextAssign(ScriptedWorker& worker);
  // Checkpoints of step 10, "ten", and step 20, "twenty".
  void StoreCheckpoints(ScriptedWorker& worker, const v1::Attempt& attempt);
  // A sweep "study" whose run has a checkpoint of step 10, "ten", when the scheduler stops.
  void StopAfterACheckpoint();

  SchedulerOptions options_;
  ShiftedClock clock_;
  std::unique_ptr<Scheduler> scheduler_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_FIXTURE_H_
