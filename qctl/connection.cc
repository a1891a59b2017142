#include "qctl/connection.h"

#include "common/rpc.h"
#include "common/status.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const GlobalOptions& options,
                                                             bool create) {
  auto connection = std::make_unique<Connection>();
  if (options.scheduler.empty()) {
    ASSIGN_OR_RETURN(connection->embedded_, Embedded::Open(options.data_dir, create));
    connection->address_ = connection->embedded_->address();
  } else {
    ASSIGN_OR_RETURN(connection->address_, ParseAddress(options.scheduler));
  }
  connection->client_.emplace(connection->address_);
  return connection;
}

absl::Status Connection::Restore() {
  if (embedded_) {
    RETURN_IF_ERROR(embedded_->Restore());
  } else {
    SleepUnlessInterrupted(absl::Seconds(1));
  }
  if (Interrupts() > 0) return InterruptedError();
  client_.emplace(address_);  // a fresh channel tries at once
  return absl::OkStatus();
}

}  // namespace qsweep::qctl
