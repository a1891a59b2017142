#include "scheduler/init.h"

#include <algorithm>
#include <optional>

#include "common/credentials.h"
#include "common/data_dir.h"
#include "common/file.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/status.h"
#include "scheduler/certificates.h"
#include "scheduler/security.h"
#include "scheduler/service/door.h"
#include "storage/backup.h"
#include "storage/database.h"

namespace qsweep {
namespace {

absl::StatusOr<FileLock> Lock(const std::string& data_directory) {
  absl::StatusOr<FileLock> lock = FileLock::Acquire(JoinPath(data_directory, kDaemonLockFile));
  if (lock.ok() || !absl::IsUnavailable(lock.status())) return lock;
  return absl::UnavailableError(absl::StrCat(lock.status().message(),
                                             ": a scheduler works there; "
                                             "stop it first"));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> CertificateHosts(const std::vector<std::string>& given,
                                                          const std::string& own) {
  std::vector<std::string> hosts = given;
  const auto add = [&hosts](const std::string& host) {
    if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
  };
  if (const absl::Status usable = CheckHost(own); usable.ok()) {
    add(own);
  } else if (given.empty()) {
    return Annotate(usable, "this machine's own name; give another with --host");
  } else {
    LogWarning(absl::StrCat("this machine's own name is left out: ", usable.message()));
  }
  for (const char* local : {"localhost", "127.0.0.1", "::1"}) add(local);
  return hosts;
}

absl::StatusOr<std::string> InitDataDirectory(const InitOptions& options, const Clock& clock) {
  const std::string& directory = options.data_directory;
  RETURN_IF_ERROR(MakeDirectories(directory));
  ASSIGN_OR_RETURN(const FileLock lock, Lock(directory));
  // Whoever was let in before knows it by those names.
  ASSIGN_OR_RETURN(
      const std::vector<std::string> hosts,
      CertificateHosts(options.hosts.empty() ? FormerHosts(directory) : options.hosts, HostName()));
  RETURN_IF_ERROR(InitSecurity(directory, hosts, options.port));
  ASSIGN_OR_RETURN(const auto security, LoadSecurity(directory, clock.UnixMicros()));
  QSWEEP_CHECK(security.has_value());

  ASSIGN_OR_RETURN(const auto database,
                   storage::Database::Open(JoinPath(directory, kDatabaseFile)));
  storage::Transaction transaction(*database);
  ASSIGN_OR_RETURN(const NewToken token,
                   MakeToken(transaction, "init", v1::ROLE_ADMIN, clock.UnixMicros()));
  RETURN_IF_ERROR(transaction.Commit());
  v1::Credentials credentials;
  credentials.set_address(security->address);
  credentials.set_ca_certificate(security->authority_certificate);
  credentials.set_token(token.text);
  return FormatInvitation(credentials);
}

absl::Status CheckDatabaseAt(const std::string& path) {
  const std::string inside = JoinPath(path, kDatabaseFile);
  if (!PathExists(inside)) return storage::CheckDatabaseFile(path);
  ASSIGN_OR_RETURN(const FileLock lock, Lock(path));
  return storage::CheckDatabaseFile(inside);
}

}  // namespace qsweep
