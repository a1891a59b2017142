#include "qctl/connection.h"

#include "common/address.h"
#include "common/credentials.h"
#include "common/rpc.h"
#include "common/status.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {

absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelTo(const std::string& address,
                                                         bool insecure) {
  const absl::StatusOr<v1::Credentials> credentials = LoadCredentials(UserCredentialsPath(address));
  if (credentials.ok()) return MakeSecureChannel(*credentials);
  if (!absl::IsNotFound(credentials.status())) return credentials.status();
  if (insecure || IsLocalAddress(address)) return MakeChannel(address);
  return absl::FailedPreconditionError(absl::StrCat(
      "no credentials for ", address,
      "; `qctl login INVITATION` keeps those you were given, --insecure does without on a network "
      "you trust"));
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const GlobalOptions& options,
                                                             bool create) {
  auto connection = std::make_unique<Connection>();
  if (options.scheduler.empty()) {
    ASSIGN_OR_RETURN(connection->embedded_, Embedded::Open(options.data_dir, create));
    connection->address_ = connection->embedded_->address();
  } else {
    ASSIGN_OR_RETURN(connection->address_, ParseAddress(options.scheduler));
  }
  connection->insecure_ = options.insecure;
  RETURN_IF_ERROR(connection->Dial());
  return connection;
}

absl::Status Connection::Restore() {
  if (embedded_) {
    RETURN_IF_ERROR(embedded_->Restore());
  } else {
    SleepUnlessInterrupted(absl::Seconds(1));
  }
  if (Interrupts() > 0) return InterruptedError();
  return Dial();  // a fresh channel tries at once
}

absl::Status Connection::Dial() {
  if (embedded_) {
    client_.emplace(MakeChannel(address_));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto channel, ChannelTo(address_, insecure_));
  client_.emplace(channel);
  return absl::OkStatus();
}

}  // namespace qsweep::qctl
