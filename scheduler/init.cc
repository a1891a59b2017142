#include "scheduler/init.h"

#include <unistd.h>

#include <optional>

#include "common/credentials.h"
#include "common/file.h"
#include "common/status.h"
#include "scheduler/security.h"
#include "scheduler/service/door.h"
#include "storage/backup.h"
#include "storage/database.h"

namespace qsweep {
namespace {

constexpr char kDatabase[] = "qsweep.db";

absl::StatusOr<FileLock> Lock(const std::string& data_directory) {
  absl::StatusOr<FileLock> lock = FileLock::Acquire(JoinPath(data_directory, "lock"));
  if (lock.ok() || !absl::IsUnavailable(lock.status())) return lock;
  return absl::UnavailableError(absl::StrCat(lock.status().message(),
                                             ": a scheduler works there; "
                                             "stop it first"));
}

std::vector<std::string> OwnNames() {
  char name[256] = "";
  std::vector<std::string> names;
  if (::gethostname(name, sizeof name - 1) == 0) names.push_back(name);
  for (const char* local : {"localhost", "127.0.0.1", "::1"}) names.push_back(local);
  return names;
}

}  // namespace

absl::StatusOr<std::string> InitDataDirectory(const InitOptions& options, const Clock& clock) {
  const std::string& directory = options.data_directory;
  RETURN_IF_ERROR(MakeDirectories(directory));
  ASSIGN_OR_RETURN(const FileLock lock, Lock(directory));
  std::vector<std::string> hosts = options.hosts;
  for (std::string& name : OwnNames()) hosts.push_back(std::move(name));
  RETURN_IF_ERROR(InitSecurity(directory, hosts, options.port));
  ASSIGN_OR_RETURN(const auto security, LoadSecurity(directory, clock.UnixMicros()));
  QSWEEP_CHECK(security.has_value());

  ASSIGN_OR_RETURN(const auto database, storage::Database::Open(JoinPath(directory, kDatabase)));
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
  const std::string inside = JoinPath(path, kDatabase);
  if (!PathExists(inside)) return storage::CheckDatabaseFile(path);
  ASSIGN_OR_RETURN(const FileLock lock, Lock(path));
  return storage::CheckDatabaseFile(inside);
}

}  // namespace qsweep
