// A scheduler in one object: data directory, database, loop, server.
#ifndef QSWEEP_SCHEDULER_SCHEDULER_H_
#define QSWEEP_SCHEDULER_SCHEDULER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/file.h"
#include "scheduler/artifact_store.h"
#include "scheduler/core/state.h"
#include "scheduler/loop.h"
#include "scheduler/service/sweep_service.h"
#include "scheduler/service/worker_service.h"
#include "storage/database.h"

namespace qsweep {

struct SchedulerOptions {
  std::string data_directory;  // made if it is not there
  std::string listen;          // as ParseAddress returns it; port 0: any that is free
  core::Policy policy;
  int64_t heartbeat_ms = 5000;
};

class Scheduler {
 public:
  // Recovers what the directory holds and serves it. Unavailable if another scheduler has the
  // directory or the address.
  //
  // DATA/lock        held while the scheduler lives
  // DATA/qsweep.db   and its -wal and -shm
  // DATA/artifacts/
  // DATA/address     where it listens, while it does
  static absl::StatusOr<std::unique_ptr<Scheduler>> Start(const SchedulerOptions& options,
                                                          const Clock& clock);
  // Ends the calls under way, commits what was received, closes.
  ~Scheduler();

  // "127.0.0.1:40001", "unix:PATH".
  const std::string& address() const { return address_; }
  // Why it has stopped by itself; OK while it has not. It must not be destroyed then but exit the
  // process: calls may be waiting for a loop that is gone.
  absl::Status status() const { return loop_->status(); }

 private:
  explicit Scheduler(FileLock lock) : lock_(std::move(lock)) {}
  absl::Status Serve(const std::string& listen);

  FileLock lock_;
  std::string address_file_;
  std::string address_;
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<ArtifactStore> artifacts_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<SweepService> sweep_service_;
  std::unique_ptr<WorkerService> worker_service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SCHEDULER_H_
