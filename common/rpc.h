// What every gRPC client and server here agrees on: addresses, limits, status codes.
#ifndef QSWEEP_COMMON_RPC_H_
#define QSWEEP_COMMON_RPC_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qsweep {

inline constexpr int kMaxMessageBytes = 128 << 20;  // 100,000 cells in one submission
inline constexpr int kDefaultPort = 7411;

// "unix:PATH", "HOST:PORT" or "HOST" (with kDefaultPort), checked; PATH at most 107 bytes.
absl::StatusOr<std::string> ParseAddress(const std::string& text);
// Whether only this machine can reach the address.
bool IsLocalAddress(const std::string& address);

// A channel with keep-alive (a silent partition is noticed within 20 s), reconnecting with a back-off
// of 0.1 to 5 s, never through a proxy.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address);

absl::Status FromGrpc(const grpc::Status& status);
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_RPC_H_
