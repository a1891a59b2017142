// The scheduler that a command talks to.
#ifndef QSWEEP_QCTL_CONNECTION_H_
#define QSWEEP_QCTL_CONNECTION_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "qctl/client.h"
#include "qctl/embedded.h"

namespace qsweep::qctl {

struct GlobalOptions {
  std::string scheduler;  // empty: the embedded one of data_dir
  std::string data_dir = "qsweep-data";
  bool insecure = false;  // in the clear to another machine
  bool json = false;
};

// To a scheduler elsewhere: with the user's credentials for it (`qctl login`), in the clear without
// any. FailedPrecondition if that would leave this machine and is not allowed.
absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelTo(const std::string& address, bool insecure);

// The scheduler that the options name, or the embedded one of the data directory, which is kept for
// as long as this lives.
class Connection {
 public:
  // `create`: make the data directory if it is missing.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const GlobalOptions& options,
                                                          bool create = false);
  Client& client() { return *client_; }
  // nullptr: a scheduler elsewhere.
  Embedded* embedded() { return embedded_.get(); }
  // After a call found the scheduler away: revives an embedded one, waits a moment for one
  // elsewhere.
  absl::Status Restore();

 private:
  absl::Status Dial();

  std::string address_;
  bool insecure_ = false;
  std::unique_ptr<Embedded> embedded_;
  std::optional<Client> client_;
};

// Calls `call` (which returns a StatusOr) up to a few times, as long as the scheduler is away.
template <typename Call>
auto WhileAway(Connection& connection, const Call& call) -> decltype(call()) {
  constexpr int kTries = 4;
  for (int left = kTries;;) {
    auto reply = call();
    if (reply.ok() || !IsUnreachable(reply.status()) || --left == 0) return reply;
    if (absl::Status status = connection.Restore(); !status.ok()) return status;
  }
}

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_CONNECTION_H_
