#include "common/rpc.h"

#include <arpa/inet.h>
#include <grpc/support/log.h>
#include <netinet/in.h>

#include <cstdlib>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/status.h"

namespace qsweep {
namespace {

class TokenPlugin : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenPlugin(const std::string& token) : value_(absl::StrCat(kTokenPrefix, token)) {}
  bool IsBlocking() const override { return false; }
  const char* GetType() const override { return "qsweep-token"; }
  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace(kTokenHeader, value_);
    return grpc::Status::OK;
  }

 private:
  const std::string value_;
};

std::shared_ptr<grpc::Channel> Dial(const std::string& address,
                                    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  // What goes wrong comes back as a status; its own lines on standard error are for whoever asks.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_verbosity(static_cast<gpr_log_severity>(GPR_LOG_SEVERITY_ERROR + 1));
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kReadAheadBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);  // also the time a connect may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

bool IsIpv6(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;
}

struct HostAndPort {
  std::string host;  // without brackets; empty: it is none
  std::optional<std::string> port;
};

HostAndPort Split(const std::string& text) {
  if (IsIpv6(text)) return {text, std::nullopt};
  const size_t colon = text.rfind(':');
  const bool has_port = colon != std::string::npos && !absl::EndsWith(text, "]");
  HostAndPort parts{text.substr(0, has_port ? colon : text.size()), std::nullopt};
  if (has_port) parts.port = text.substr(colon + 1);
  const bool bracketed = absl::StartsWith(parts.host, "[") && absl::EndsWith(parts.host, "]");
  if (bracketed) parts.host = parts.host.substr(1, parts.host.size() - 2);
  const bool possible = bracketed ? IsIpv6(parts.host) : !absl::StrContains(parts.host, ':');
  return possible ? parts : HostAndPort();
}

}  // namespace

absl::StatusOr<std::string> ParseAddress(const std::string& text) {
  if (absl::StartsWith(text, "unix:")) {
    if (text.size() <= 5 || text.size() - 5 > 107) {
      return absl::InvalidArgumentError(
          absl::StrCat("address '", text,
                       "': a socket path has 1 to 107 bytes; use a shorter or a relative one"));
    }
    return text;
  }
  const HostAndPort parts = Split(text);
  if (parts.host.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "address '", text, "': write unix:PATH, HOST, HOST:PORT or [IPV6ADDRESS]:PORT"));
  }
  const std::string host = IsIpv6(parts.host) ? absl::StrCat("[", parts.host, "]") : parts.host;
  if (!parts.port) return absl::StrCat(host, ":", kDefaultPort);
  int port = -1;
  if (!absl::SimpleAtoi(*parts.port, &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("address '", text, "': the port must be a number from 0 to 65535"));
  }
  return absl::StrCat(host, ":", *parts.port);
}

bool IsLocalAddress(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const std::string host = Split(address).host;
  in_addr v4;
  in6_addr v6;
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
  if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost";
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  return Dial(address, grpc::InsecureChannelCredentials());
}

std::shared_ptr<grpc::Channel> MakeSecureChannel(const v1::Credentials& credentials) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = credentials.ca_certificate();
  return Dial(
      credentials.address(),
      grpc::CompositeChannelCredentials(
          grpc::SslCredentials(options),
          grpc::MetadataCredentialsFromPlugin(std::make_unique<TokenPlugin>(credentials.token()))));
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace qsweep
