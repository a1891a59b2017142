// A scheduler in one object: data directory, database, loop, server.
#ifndef QSWEEP_SCHEDULER_SCHEDULER_H_
#define QSWEEP_SCHEDULER_SCHEDULER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/disk_reserve.h"
#include "common/file.h"
#include "common/metrics_http.h"
#include "scheduler/artifact_store.h"
#include "scheduler/core/state.h"
#include "scheduler/disk_watch.h"
#include "scheduler/loop.h"
#include "scheduler/service/admin_service.h"
#include "scheduler/service/door.h"
#include "scheduler/service/sweep_service.h"
#include "scheduler/service/worker_service.h"
#include "storage/database.h"

namespace qsweep {

struct SchedulerOptions {
  std::string data_directory;  // made if it is not there
  // As ParseAddress returns them; port 0: any that is free. Unix sockets are open to whoever may
  // open their file; the others have TLS and want tokens once the directory was initialized
  // (security.h).
  std::vector<std::string> listen;
  bool insecure = false;  // neither TLS nor tokens anywhere, though others can reach an address
  core::Policy policy;
  int64_t heartbeat_ms = 5000;
  bool forget_lost_artifacts = false;  // see recovery.h
  // Disk that must stay free (disk_watch.h), and how to ask for it; the default asks the system.
  int64_t disk_reserve_bytes = DiskReserve::kDefaultBytes;
  absl::Duration disk_interval = absl::Seconds(1);
  DiskWatch::FreeBytes free_disk_bytes;
  std::string metrics_address;  // HOST:PORT of the page for Prometheus; empty: none
};

class Scheduler {
 public:
  // Recovers what the directory (common/data_dir.h) holds and serves it. Unavailable if another
  // scheduler has the directory or an address; InvalidArgument for an address that others can reach
  // while there is nothing to keep them out.
  static absl::StatusOr<std::unique_ptr<Scheduler>> Start(const SchedulerOptions& options,
                                                          const Clock& clock);
  // Ends the calls under way, commits what was received, closes.
  ~Scheduler();

  // "127.0.0.1:40001", "unix:PATH": where it listens, in the order of the options.
  const std::vector<std::string>& addresses() const { return addresses_; }
  // Of these the first.
  const std::string& address() const { return addresses_.front(); }
  // HOST:PORT of the page for Prometheus, if it was wanted.
  std::string metrics_address() const { return metrics_ ? metrics_->address() : ""; }
  // Why it has stopped by itself; OK while it has not. It must not be destroyed then but exit the
  // process: calls may be waiting for a loop that is gone.
  absl::Status status() const { return loop_->status(); }

 private:
  explicit Scheduler(FileLock lock) : lock_(std::move(lock)) {}
  absl::Status Serve(const SchedulerOptions& options, const std::optional<Security>& security,
                     const Clock& clock);

  FileLock lock_;
  std::string address_file_;
  std::vector<std::string> addresses_;
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<ArtifactStore> artifacts_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<DiskWatch> disk_;
  std::unique_ptr<Door> door_;
  std::unique_ptr<SweepService> sweep_service_;
  std::unique_ptr<WorkerService> worker_service_;
  std::unique_ptr<AdminService> admin_service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<MetricsServer> metrics_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SCHEDULER_H_
