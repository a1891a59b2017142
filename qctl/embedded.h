// The embedded set-up of a data directory: a scheduler on a Unix socket and, for `run`, a worker,
// both shared by all qctl commands that work on the directory now.
//
//   DIR/scheduler.sock (or a short path under /tmp), scheduler.log, worker.log, worker/, results/,
//   .qctl/ (qctl/shared_daemon.h); the rest is the scheduler's
#ifndef QSWEEP_QCTL_EMBEDDED_H_
#define QSWEEP_QCTL_EMBEDDED_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "qctl/shared_daemon.h"

namespace qsweep::qctl {

class Embedded {
 public:
  // Starts the scheduler if it does not run and waits until it answers. A directory that is missing
  // is made if `create`, else NotFound.
  static absl::StatusOr<std::unique_ptr<Embedded>> Open(const std::string& data_dir, bool create);
  // Close(), patiently.
  ~Embedded();

  const std::string& address() const { return address_; }
  // `flags` are qworker's. Ignored if a worker runs already: returns false then.
  absl::StatusOr<bool> UseWorker(const std::vector<std::string>& flags);
  bool uses_worker() const { return worker_.has_value(); }
  // Starts again what has died. Call often.
  absl::Status KeepRunning();
  // The same, and waits until the scheduler answers.
  absl::Status Restore();
  // Stops what nobody else uses, the worker first: its trainers write a checkpoint. `impatient` is
  // asked meanwhile; true kills daemons and trainers. False: another command uses the worker still.
  absl::StatusOr<bool> Close(const std::function<bool()>& impatient);

 private:
  Embedded(std::string data_dir, std::string address, SharedDaemon scheduler)
      : data_dir_(std::move(data_dir)),
        address_(std::move(address)),
        scheduler_(std::move(scheduler)) {}
  // FailedPrecondition if the scheduler is one that was started by hand to listen elsewhere only:
  // it would never answer here.
  absl::Status CheckAddress() const;

  const std::string data_dir_;
  const std::string address_;
  std::optional<SharedDaemon> scheduler_;
  std::optional<SharedDaemon> worker_;
};

// Where the scheduler of a data directory (an absolute path) listens: DIR/scheduler.sock, unless
// that is too long for a socket or has characters that an address cannot; then a name made from the
// path's hash in a directory under /tmp that only this user can write to.
absl::StatusOr<std::string> SocketPath(const std::string& data_dir);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_EMBEDDED_H_
