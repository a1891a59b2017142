// What every gRPC client and server here agrees on: channels, limits, status codes.
#ifndef QSWEEP_COMMON_RPC_H_
#define QSWEEP_COMMON_RPC_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "qsweep/v1/credentials.pb.h"

namespace qsweep {

inline constexpr int kMaxMessageBytes = 128 << 20;  // 100,000 cells in one submission
// What a side takes in on a stream before it is asked for: 20 MB/s at 50 ms. It is fixed, since to
// find the best size gRPC (GRPC_ARG_HTTP2_BDP_PROBE) answers nearly every small message with a
// ping: a sixth of what a run costs the scheduler.
inline constexpr int kReadAheadBytes = 1 << 20;
// How a token travels with a call: the header "authorization: Bearer TOKEN".
inline constexpr char kTokenHeader[] = "authorization";
inline constexpr char kTokenPrefix[] = "Bearer ";

// What goes wrong comes back as a status; gRPC's own lines on standard error are for whoever asks
// for them, by GRPC_VERBOSITY. A server calls it before it starts; channels come with it.
void SilenceGrpc();

// A channel, and with it a connection of its own, with keep-alive (a silent partition is noticed
// within 20 s), reconnecting with a back-off of 0.1 to 5 s, never through a proxy. In the clear.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address);
// To a scheduler whose certificate their authority has signed, the token with every call.
std::shared_ptr<grpc::Channel> MakeSecureChannel(const v1::Credentials& credentials);

absl::Status FromGrpc(const grpc::Status& status);
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_RPC_H_
