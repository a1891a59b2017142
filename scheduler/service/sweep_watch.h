#ifndef QSWEEP_SCHEDULER_SERVICE_SWEEP_WATCH_H_
#define QSWEEP_SCHEDULER_SERVICE_SWEEP_WATCH_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <string>

#include "qsweep/v1/sweep.pb.h"
#include "scheduler/loop.h"
#include "scheduler/service/door.h"

namespace qsweep {

// One WatchSweep call. At most one update is on its way: a slow client sees fewer of them.
class SweepWatch : public grpc::ServerWriteReactor<v1::SweepUpdate>, public WatchStream {
 public:
  // Lives as long as the call and the loop's interest in it.
  static SweepWatch* Start(Loop& loop, const Door& door, const Caller& caller,
                           const std::string& sweep);
  SweepWatch(const Door& door, const Caller& caller) : door_(door), caller_(caller) {}

  Condition condition() override;
  void Send(v1::SweepUpdate update, bool last) override;
  void Close(const absl::Status& reason) override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void End(const grpc::Status& status);  // holding mutex_

  const Door& door_;
  const Caller caller_;
  std::shared_ptr<SweepWatch> self_;  // until OnDone
  std::mutex mutex_;
  // Guarded by mutex_.
  v1::SweepUpdate update_;
  bool writing_ = false;
  bool last_ = false;
  bool ending_ = false;  // Finish has been called, or will be when the write is done
  grpc::Status status_;  // to finish with
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_SWEEP_WATCH_H_
