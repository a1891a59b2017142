#include "common/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace qsweep {
namespace {

bool IsIpv6(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;
}

absl::Status Refused(const std::string& text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("address '", text, "': ", why));
}

}  // namespace

absl::StatusOr<HostAndPort> ParseHostAndPort(const std::string& text) {
  if (IsIpv6(text)) return HostAndPort{text, std::nullopt};
  const size_t colon = text.rfind(':');
  const bool has_port = colon != std::string::npos && !absl::EndsWith(text, "]");
  HostAndPort parts{text.substr(0, has_port ? colon : text.size()), std::nullopt};
  const bool bracketed = absl::StartsWith(parts.host, "[") && absl::EndsWith(parts.host, "]");
  if (bracketed) parts.host = parts.host.substr(1, parts.host.size() - 2);
  const bool possible = bracketed ? IsIpv6(parts.host) : !absl::StrContains(parts.host, ':');
  if (parts.host.empty() || !possible) {
    return Refused(text, "write unix:PATH, HOST, HOST:PORT or [IPV6ADDRESS]:PORT");
  }
  if (!has_port) return parts;
  int port = -1;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return Refused(text, "the port must be a number from 0 to 65535");
  }
  parts.port = port;
  return parts;
}

std::string FormatAddress(const std::string& host, int port) {
  return IsIpv6(host) ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<std::string> ParseAddress(const std::string& text) {
  if (IsSocketAddress(text)) {
    const size_t length = text.size() - kSocketPrefix.size();
    if (length >= 1 && length <= kMaxSocketPath) return text;
    return Refused(text, absl::StrCat("a socket path has 1 to ", kMaxSocketPath,
                                      " bytes; use a shorter or a relative one"));
  }
  ASSIGN_OR_RETURN(const HostAndPort parts, ParseHostAndPort(text));
  return FormatAddress(parts.host, parts.port.value_or(kDefaultPort));
}

bool IsSocketAddress(const std::string& address) {
  return absl::StartsWith(address, kSocketPrefix);
}

bool IsLocalAddress(const std::string& address) {
  if (IsSocketAddress(address)) return true;
  const std::string host = ParseHostAndPort(address).value_or(HostAndPort()).host;
  in_addr v4;
  in6_addr v6;
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
  if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost";
}

}  // namespace qsweep
