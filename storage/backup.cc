#include "storage/backup.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>

#include "common/file.h"
#include "common/status.h"

namespace qsweep::storage {

absl::StatusOr<std::unique_ptr<Backup>> Backup::Begin(Database& from, const std::string& to) {
  std::unique_ptr<Backup> backup(new Backup(to));
  FileDescriptor fd(::open(to.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    backup->finished_ = true;  // somebody else's file stays
    if (errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat(to, ": is there already"));
    return ErrnoStatus(errno, to, "create");
  }
  fd.Close();
  const int code = sqlite3_open_v2(
      to.c_str(), &backup->copy_,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) return backup->Error(code);
  backup->backup_ = sqlite3_backup_init(backup->copy_, "main", from.handle_, "main");
  if (backup->backup_ == nullptr) return backup->Error(sqlite3_errcode(backup->copy_));
  return backup;
}

Backup::~Backup() {
  sqlite3_backup_finish(backup_);
  sqlite3_close(copy_);
  if (!finished_) ::unlink(to_.c_str());
}

absl::Status Backup::Error(int code) const {
  return absl::Status(StatusCodeOf(code), absl::StrCat(to_, ": copy: ", sqlite3_errstr(code)));
}

absl::StatusOr<bool> Backup::Step(int pages) {
  int code = sqlite3_backup_step(backup_, pages);
  if (code == SQLITE_OK) return false;
  if (code == SQLITE_DONE) code = sqlite3_backup_finish(std::exchange(backup_, nullptr));
  if (code != SQLITE_OK) return Error(code);
  return true;
}

absl::Status Backup::Finish() {
  QSWEEP_CHECK(backup_ == nullptr);
  // Without a log beside it, it is one file.
  const int code = sqlite3_exec(copy_, "PRAGMA journal_mode = DELETE", nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return Error(code);
  finished_ = true;
  return absl::OkStatus();
}

absl::Status CheckDatabaseFile(const std::string& path) {
  ASSIGN_OR_RETURN(const auto database, Database::Open(path, Database::Mode::kAsItIs));
  ASSIGN_OR_RETURN(const int version, database->SchemaVersion());
  if (version == 0) return absl::InvalidArgumentError(path + ": is no database of qsweep");
  return database->Check();
}

}  // namespace qsweep::storage
