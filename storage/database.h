// One SQLite connection and its prepared statements. WAL with synchronous=FULL: what was committed
// survives the machine. Not thread-safe: one thread, one connection, for ever (the WAL-reset
// corruption bug of SQLite 3.7.0 to 3.51.2 needs two); other programs are locked out meanwhile.
#ifndef QSWEEP_STORAGE_DATABASE_H_
#define QSWEEP_STORAGE_DATABASE_H_

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/ids.h"
#include "common/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace qsweep::storage {

class Database {
 public:
  enum class Mode {
    kMigrate,  // makes the file if need be and brings its schema up to date
    kAsItIs,   // NotFound if there is none
  };
  // FailedPrecondition if a newer qsweep made it, DataLoss if it is damaged or no database.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path,
                                                        Mode mode = Mode::kMigrate);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // SQLite's own checks of the whole file and of all references; DataLoss names what they found
  // first. Reads everything.
  absl::Status Check();
  // Of the schema.
  absl::StatusOr<int> SchemaVersion();

 private:
  friend class Backup;
  friend class Statement;
  friend class Transaction;
  Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  absl::Status Error(absl::string_view what) const;
  // The error of a statement; the transaction around it, if there is one, will not commit.
  absl::Status Doom(absl::string_view sql);
  absl::Status Script(const char* sql);
  absl::Status RefuseNewer();
  absl::Status Migrate();
  // From the cache, or compiled now. SQL is ours alone, so one that does not compile aborts.
  sqlite3_stmt* Prepare(absl::string_view sql);

  sqlite3* handle_;
  std::string path_;
  absl::flat_hash_map<std::string, sqlite3_stmt*> prepared_;
  bool in_transaction_ = false;
  absl::Status transaction_error_;  // the first in the transaction that is open, or was last
};

// Of SQLite, as in 3.40.1.
std::string EngineVersion();

// What a result code of SQLite's means to us.
absl::StatusCode StatusCodeOf(int sqlite_code);

// A statement with its parameters bound, lent by the database's cache until it goes out of scope.
// The same SQL must not be in use twice at a time.
class Statement {
 public:
  template <typename... Args>
  Statement(Database& database, absl::string_view sql, const Args&... args)
      : database_(database), statement_(database.Prepare(sql)) {
    int index = 0;
    (Bind(++index, args), ...);
    CheckParameters(index);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Whether there is a(nother) row.
  absl::StatusOr<bool> Step();

  // Columns of the row, from 0. NULL reads as 0, NaN or "".
  int64_t Int(int column) const;
  int32_t Int32(int column) const { return static_cast<int32_t>(Int(column)); }
  double Real(int column) const;
  std::string Text(int column) const;
  bool IsNull(int column) const;

 private:
  void Bind(int index, std::integral auto value) { BindInt(index, static_cast<int64_t>(value)); }
  void Bind(int index, double value);  // NaN becomes NULL
  void Bind(int index, absl::string_view value);
  void Bind(int index, std::nullopt_t);
  template <typename Tag, typename T>
  void Bind(int index, const StrongId<Tag, T>& id) {
    Bind(index, id.value());
  }
  template <typename T>
  void Bind(int index, const std::optional<T>& value) {
    value ? Bind(index, *value) : Bind(index, std::nullopt);
  }
  void Bind(int index, const std::string& value) { Bind(index, absl::string_view(value)); }
  void Bind(int index, const char* value) { Bind(index, absl::string_view(value)); }
  void BindInt(int index, int64_t value);
  void CheckParameters(int bound) const;

  Database& database_;
  sqlite3_stmt* statement_;
};

// What `read`, T(const Statement&), makes of each row.
template <typename Read, typename T = std::invoke_result_t<Read, const Statement&>>
absl::StatusOr<std::vector<T>> All(Statement& query, Read read) {
  std::vector<T> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return rows;
    rows.push_back(read(query));
  }
}

// The same of the first row; nullopt if there is none.
template <typename Read, typename T = std::invoke_result_t<Read, const Statement&>>
absl::StatusOr<std::optional<T>> One(Statement& query, Read read) {
  ASSIGN_OR_RETURN(const bool found, query.Step());
  return found ? std::optional<T>(read(query)) : std::nullopt;
}

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_DATABASE_H_
