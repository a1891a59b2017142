#ifndef QSWEEP_SCHEDULER_SERVICE_WORKER_SESSION_H_
#define QSWEEP_SCHEDULER_SERVICE_WORKER_SESSION_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "qsweep/v1/worker.pb.h"
#include "scheduler/loop.h"
#include "scheduler/service/door.h"
#include "storage/results.h"

namespace qsweep {

// One stream of one worker. The next message is read when the one before is on disk, so a worker
// has at most one in the loop's inbox; what is to be sent waits in a queue of limited length.
class WorkerSession : public grpc::ServerBidiReactor<v1::FromWorker, v1::ToWorker>,
                      public Outbox,
                      public std::enable_shared_from_this<WorkerSession> {
 public:
  // Lives as long as the call and the loop's interest in it.
  // `connection`: gRPC's name of the peer.
  static WorkerSession* Start(Loop& loop, Door& door, const Caller& caller,
                              const std::string& connection, core::SessionNumber number);

  void Send(v1::ToWorker message) override;
  void Close(const absl::Status& reason) override;
  std::string connection() const override { return connection_; }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  WorkerSession(Loop& loop, Door& door, const Caller& caller, const std::string& connection,
                core::SessionNumber number)
      : loop_(loop),
        door_(door),
        caller_(caller),
        connection_(connection),
        number_(number),
        name_(absl::StrCat("a worker at ", connection)) {}
  absl::Status Take(Turn& turn);  // on the loop's thread
  void ReadNext();
  void WriteNext();                      // holding mutex_
  void End(const absl::Status& reason);  // holding mutex_

  Loop& loop_;
  Door& door_;
  const Caller caller_;
  const std::string connection_;
  const core::SessionNumber number_;
  std::shared_ptr<WorkerSession> self_;  // until OnDone
  // Belong to gRPC, then to the loop, in turns.
  v1::FromWorker received_;
  std::vector<storage::StoredResult> results_;  // of received_
  // The loop's thread's.
  bool greeted_ = false;
  std::string name_;  // for the log

  std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<v1::ToWorker> outbox_;  // the first one is being written
  bool ending_ = false;              // no more is read or queued; Finish comes after the outbox
  bool finished_ = false;
  absl::Status reason_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_WORKER_SESSION_H_
