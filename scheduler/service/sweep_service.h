#ifndef QSWEEP_SCHEDULER_SERVICE_SWEEP_SERVICE_H_
#define QSWEEP_SCHEDULER_SERVICE_SWEEP_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "qsweep/v1/sweep.grpc.pb.h"
#include "scheduler/disk_watch.h"
#include "scheduler/loop.h"
#include "scheduler/service/door.h"
#include "scheduler/service/work_thread.h"

namespace qsweep {

// For qctl. Every call is checked here and has its turn on the loop.
class SweepService : public v1::SweepService::CallbackService {
 public:
  SweepService(Loop& loop, const DiskWatch& disk, const Door& door)
      : loop_(loop), disk_(disk), door_(door) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;
  Unary* SubmitSweep(Context*, const v1::SubmitSweepRequest*, v1::SubmitSweepReply*) override;
  Unary* GetSweep(Context*, const v1::GetSweepRequest*, v1::Sweep*) override;
  Unary* ListSweeps(Context*, const v1::ListSweepsRequest*, v1::ListSweepsReply*) override;
  Unary* ListRuns(Context*, const v1::ListRunsRequest*, v1::ListRunsReply*) override;
  Unary* GetRun(Context*, const v1::GetRunRequest*, v1::RunDetail*) override;
  grpc::ServerWriteReactor<v1::SweepUpdate>* WatchSweep(Context*,
                                                        const v1::GetSweepRequest*) override;
  Unary* Cancel(Context*, const v1::Target*, v1::TargetReply*) override;
  Unary* Retry(Context*, const v1::Target*, v1::TargetReply*) override;
  Unary* Pause(Context*, const v1::Target*, v1::TargetReply*) override;
  Unary* Resume(Context*, const v1::Target*, v1::TargetReply*) override;
  Unary* PlanSweep(Context*, const v1::SubmitSweepRequest*, v1::PlanSweepReply*) override;
  Unary* Drain(Context*, const v1::DrainRequest*, v1::WorkerStatus*) override;
  Unary* Undrain(Context*, const v1::UndrainRequest*, v1::WorkerStatus*) override;
  Unary* GetMetrics(Context*, const v1::GetMetricsRequest*, v1::GetMetricsReply*) override;
  Unary* GetLogs(Context*, const v1::GetLogsRequest*, v1::GetLogsReply*) override;
  Unary* ListWorkers(Context*, const v1::ListWorkersRequest*, v1::ListWorkersReply*) override;

 private:
  // Answers with what `work`, which takes long, says when those before it have had their turn.
  Unary* Queue(Context* context, const v1::SubmitSweepRequest* request,
               std::function<absl::Status()> work);

  Loop& loop_;
  const DiskWatch& disk_;
  const Door& door_;
  std::atomic<int64_t> waiting_bytes_ = 0;  // of requests, and of the one at work
  WorkThread submissions_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_SWEEP_SERVICE_H_
