// Network addresses as people write them.
#ifndef QSWEEP_COMMON_ADDRESS_H_
#define QSWEEP_COMMON_ADDRESS_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qsweep {

inline constexpr int kDefaultPort = 7411;
inline constexpr absl::string_view kSocketPrefix = "unix:";
inline constexpr size_t kMaxSocketPath = 107;  // bytes, by the kernel

// "unix:PATH", "HOST:PORT" or "HOST" (with kDefaultPort), checked, an IPv6 address in brackets even
// if it came without; PATH at most kMaxSocketPath.
absl::StatusOr<std::string> ParseAddress(const std::string& text);
bool IsSocketAddress(const std::string& address);
// Whether only this machine can reach the address.
bool IsLocalAddress(const std::string& address);

struct HostAndPort {
  std::string host;  // an IPv6 address without brackets, as getaddrinfo takes it
  std::optional<int> port;
};
// InvalidArgument for what is neither HOST, HOST:PORT nor [IPV6ADDRESS]:PORT.
absl::StatusOr<HostAndPort> ParseHostAndPort(const std::string& text);
// HOST:PORT, with brackets where they are needed.
std::string FormatAddress(const std::string& host, int port);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_ADDRESS_H_
