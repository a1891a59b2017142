#include "storage/database.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <vector>

#include "common/file.h"
#include "common/status.h"
#include "storage/migrations.h"

namespace qsweep::storage {

std::string EngineVersion() { return sqlite3_libversion(); }

absl::StatusCode StatusCodeOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

namespace {

// Writes what is in the file once more, up to `limit`, and syncs it. Fine if there is no file.
absl::Status WriteAgain(const std::string& path, int kind, int64_t limit) {
  constexpr int64_t kBlock = 1 << 16;  // as large as pages get: SQLite's files take little more
  sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
  int exists = 0;
  vfs->xAccess(vfs, path.c_str(), SQLITE_ACCESS_EXISTS, &exists);
  if (exists == 0) return absl::OkStatus();
  std::vector<sqlite3_int64> memory(static_cast<size_t>(vfs->szOsFile) / sizeof(sqlite3_int64) + 1);
  auto* file = reinterpret_cast<sqlite3_file*>(memory.data());
  // A name as SQLite hands it to a VFS: parameters, here none, behind it.
  const char* name = sqlite3_create_filename(path.c_str(), "", "", 0, nullptr);
  int code = vfs->xOpen(vfs, name, file, SQLITE_OPEN_READWRITE | kind, nullptr);
  if (code == SQLITE_OK) {
    sqlite3_int64 size = 0;
    code = file->pMethods->xFileSize(file, &size);
    std::string block;
    for (int64_t at = 0, end = std::min<int64_t>(size, limit); code == SQLITE_OK && at < end;) {
      block.resize(static_cast<size_t>(std::min(kBlock, end - at)));
      const auto bytes = static_cast<int>(block.size());
      code = file->pMethods->xRead(file, block.data(), bytes, at);
      if (code == SQLITE_OK) code = file->pMethods->xWrite(file, block.data(), bytes, at);
      at += bytes;
    }
    if (code == SQLITE_OK) code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    file->pMethods->xClose(file);
  }
  sqlite3_free_filename(name);
  if (code == SQLITE_OK) return absl::OkStatus();
  return absl::Status(StatusCodeOf(code),
                      absl::StrCat(path, ": write again: ", sqlite3_errstr(code)));
}

// After a sync that failed the kernel holds pages that are not on disk and never will be, but that
// read as if they were (fsync(2), "EIO"). A process that died of such an error must not build on
// them: all commits since the last checkpoint are in the log, and until the first one the database
// is its first page. Everything else is written by the next checkpoint.
absl::Status ForgetNoSyncError(const std::string& path) {
  constexpr int64_t kFirstPage = 4096;
  RETURN_IF_ERROR(WriteAgain(path, SQLITE_OPEN_MAIN_DB, kFirstPage));
  return WriteAgain(path + "-wal", SQLITE_OPEN_WAL, INT64_MAX);
}

// How long somebody may have it open with sqlite3 before we give up.
constexpr int kBusyMs = 5000;

// Of the last failed call on the write-ahead log or, before there is one, anywhere. A failed COMMIT
// leaves the connection's own errno at 0, the log's file keeps it.
int LogErrno(sqlite3* handle) {
  sqlite3_file* log = nullptr;
  sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  int error = 0;
  if (log != nullptr && log->pMethods != nullptr) {
    log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &error);
  }
  return error != 0 ? error : sqlite3_system_errno(handle);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, Mode mode) {
  if (mode == Mode::kAsItIs && !PathExists(path)) {
    return absl::NotFoundError(absl::StrCat(path, ": there is no such file"));
  }
  if (mode == Mode::kMigrate) RETURN_IF_ERROR(ForgetNoSyncError(path));
  sqlite3* handle = nullptr;
  const int create = mode == Mode::kMigrate ? SQLITE_OPEN_CREATE : 0;
  const int code = sqlite3_open_v2(
      path.c_str(), &handle,
      SQLITE_OPEN_READWRITE | create | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  std::unique_ptr<Database> database(new Database(handle, path));
  if (code != SQLITE_OK) return database->Error("open");
  sqlite3_busy_timeout(handle, kBusyMs);
  RETURN_IF_ERROR(database->RefuseNewer());
  if (mode == Mode::kAsItIs) return database;
  RETURN_IF_ERROR(database->Script(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
      "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; "
      "PRAGMA cache_size = -65536;"));
  RETURN_IF_ERROR(database->Migrate());
  return database;
}

Database::~Database() {
  for (const auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

absl::Status Database::Error(absl::string_view what) const {
  const int code = sqlite3_extended_errcode(handle_);
  const auto error = [&](absl::StatusCode status, const char* why) {
    return absl::Status(status, absl::StrCat(path_, ": ", what, ": ", why));
  };
  // SQLite takes a quota that is used up for an error of the disk.
  if ((code & 0xff) == SQLITE_IOERR && LogErrno(handle_) == EDQUOT) {
    return error(absl::StatusCode::kResourceExhausted, "the disk quota is used up");
  }
  if ((code & 0xff) == SQLITE_BUSY) {
    return error(StatusCodeOf(code),
                 "another program, sqlite3 perhaps, has it open; close it there");
  }
  return error(StatusCodeOf(code), sqlite3_errmsg(handle_));
}

absl::Status Database::Doom(absl::string_view sql) {
  const absl::Status error = Error(sql);
  if (in_transaction_) transaction_error_.Update(error);
  return error;
}

absl::Status Database::Script(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return Error("execute");
  return absl::OkStatus();
}

absl::Status Database::Check() {
  {
    Statement integrity(*this, "PRAGMA integrity_check(1)");
    ASSIGN_OR_RETURN(const bool row, integrity.Step());
    if (!row || integrity.Text(0) != "ok") {
      return absl::DataLossError(absl::StrCat(path_, ": ", row ? integrity.Text(0) : "no answer"));
    }
  }
  Statement foreign_keys(*this, "PRAGMA foreign_key_check");
  ASSIGN_OR_RETURN(const bool row, foreign_keys.Step());
  if (!row) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path_, ": row ", foreign_keys.Int(1), " of ",
                                          foreign_keys.Text(0), " refers to a row of ",
                                          foreign_keys.Text(2), " that is not there"));
}

absl::StatusOr<int> Database::SchemaVersion() {
  Statement query(*this, "PRAGMA user_version");
  ASSIGN_OR_RETURN(const bool row, query.Step());
  QSWEEP_CHECK(row);
  return query.Int32(0);
}

absl::Status Database::RefuseNewer() {
  const int known = static_cast<int>(Migrations().size());
  ASSIGN_OR_RETURN(const int version, SchemaVersion());
  if (version <= known) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path_, ": made by a newer qsweep (schema ", version, "; this one knows up to ",
                   known, "); start that version, or use another data directory"));
}

absl::Status Database::Migrate() {
  const int known = static_cast<int>(Migrations().size());
  ASSIGN_OR_RETURN(const int version, SchemaVersion());
  for (int next = version; next < known; ++next) {
    const absl::Status status =
        Script(absl::StrCat("BEGIN IMMEDIATE; ", Migrations()[next],
                            "; PRAGMA user_version = ", next + 1, "; COMMIT;")
                   .c_str());
    if (!status.ok()) {
      sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
      return Annotate(status, absl::StrCat("migration ", next + 1));
    }
  }
  return absl::OkStatus();
}

sqlite3_stmt* Database::Prepare(absl::string_view sql) {
  auto it = prepared_.find(sql);
  if (it == prepared_.end()) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) {
      std::fprintf(stderr, "%s: in: %s\n", sqlite3_errmsg(handle_), std::string(sql).c_str());
      QSWEEP_CHECK(code == SQLITE_OK);
    }
    it = prepared_.emplace(std::string(sql), statement).first;
  }
  QSWEEP_CHECK(!sqlite3_stmt_busy(it->second));
  return it->second;
}

Statement::~Statement() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

absl::StatusOr<bool> Statement::Step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return database_.Doom(sqlite3_sql(statement_));
  }
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

double Statement::Real(int column) const {
  return IsNull(column) ? NAN : sqlite3_column_double(statement_, column);
}

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return "";
  return std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

void Statement::BindInt(int index, int64_t value) {
  QSWEEP_CHECK(sqlite3_bind_int64(statement_, index, value) == SQLITE_OK);
}
void Statement::Bind(int index, double value) {
  QSWEEP_CHECK(sqlite3_bind_double(statement_, index, value) == SQLITE_OK);
}
void Statement::Bind(int index, absl::string_view value) {
  QSWEEP_CHECK(sqlite3_bind_text64(statement_, index, value.data() == nullptr ? "" : value.data(),
                                   value.size(), SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
}
void Statement::Bind(int index, std::nullopt_t) {
  QSWEEP_CHECK(sqlite3_bind_null(statement_, index) == SQLITE_OK);
}
void Statement::CheckParameters(int bound) const {
  QSWEEP_CHECK(sqlite3_bind_parameter_count(statement_) == bound);
}

}  // namespace qsweep::storage
