#include "scheduler/security.h"

#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "common/address.h"
#include "common/data_dir.h"
#include "common/file.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr int64_t kMaxFileBytes = 1 << 16;

std::string SecurityPath(const std::string& data_directory, const std::string& name) {
  return JoinPath(JoinPath(data_directory, kSecurityDirectory), name);
}

absl::StatusOr<KeyPair> LoadAuthority(const std::string& data_directory) {
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.key, ReadFile(SecurityPath(data_directory, "ca.key"), kMaxFileBytes));
  ASSIGN_OR_RETURN(pair.certificate,
                   ReadFile(SecurityPath(data_directory, "ca.pem"), kMaxFileBytes));
  return pair;
}

// The key first: a certificate without its key would be no use.
absl::Status SavePair(const std::string& data_directory, const std::string& name,
                      const KeyPair& pair) {
  RETURN_IF_ERROR(WritePrivateFile(SecurityPath(data_directory, name + ".key"), pair.key));
  return WriteFileAtomic(SecurityPath(data_directory, name + ".pem"), pair.certificate);
}

}  // namespace

absl::Status InitSecurity(const std::string& data_directory, const std::vector<std::string>& hosts,
                          int port) {
  RETURN_IF_ERROR(MakeDirectories(data_directory));
  const std::string directory = SecurityPath(data_directory, "");
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, directory, "create directory");
  }
  KeyPair authority;
  if (PathExists(SecurityPath(data_directory, "ca.pem"))) {
    ASSIGN_OR_RETURN(authority, LoadAuthority(data_directory));
  } else {
    ASSIGN_OR_RETURN(authority, MakeAuthority());
    RETURN_IF_ERROR(SavePair(data_directory, "ca", authority));
  }
  ASSIGN_OR_RETURN(const KeyPair server, MakeServerCertificate(authority, hosts));
  RETURN_IF_ERROR(SavePair(data_directory, "server", server));
  return WriteFileAtomic(SecurityPath(data_directory, "address"),
                         absl::StrCat(FormatAddress(hosts.front(), port), "\n"));
}

std::vector<std::string> FormerHosts(const std::string& data_directory) {
  return HostsOf(ReadFile(SecurityPath(data_directory, "server.pem"), kMaxFileBytes).value_or(""));
}

int FormerPort(const std::string& data_directory) {
  std::string address =
      ReadFile(SecurityPath(data_directory, "address"), kMaxFileBytes).value_or("");
  absl::StripAsciiWhitespace(&address);
  const absl::StatusOr<HostAndPort> former = ParseHostAndPort(address);
  return former.ok() ? former->port.value_or(kDefaultPort) : kDefaultPort;
}

absl::StatusOr<std::optional<Security>> LoadSecurity(const std::string& data_directory,
                                                     int64_t unix_us) {
  if (!PathExists(SecurityPath(data_directory, "address"))) return std::nullopt;
  Security security;
  const auto read = [&](const char* name) {
    return ReadFile(SecurityPath(data_directory, name), kMaxFileBytes);
  };
  ASSIGN_OR_RETURN(security.authority_certificate, read("ca.pem"));
  ASSIGN_OR_RETURN(security.server.key, read("server.key"));
  ASSIGN_OR_RETURN(security.server.certificate, read("server.pem"));
  ASSIGN_OR_RETURN(security.address, read("address"));
  absl::StripAsciiWhitespace(&security.address);
  if (!IsPair(security.server)) {
    return absl::FailedPreconditionError(
        absl::StrCat(SecurityPath(data_directory, "server.key"),
                     " is not the key of server.pem; `qscheduler init` makes both anew"));
  }
  if (CertificateEnd(security.authority_certificate) <= unix_us / 1'000'000) {
    return absl::FailedPreconditionError(absl::StrCat(
        SecurityPath(data_directory, "ca.pem"),
        ": the authority is no more valid; remove security/, run `qscheduler init` and invite "
        "everyone again"));
  }
  if (CertificateEnd(security.server.certificate) <= unix_us / 1'000'000) {
    return absl::FailedPreconditionError(
        absl::StrCat(SecurityPath(data_directory, "server.pem"),
                     ": the certificate is no more valid; `qscheduler init` makes a new one"));
  }
  return security;
}

}  // namespace qsweep
