#ifndef QSWEEP_STORAGE_TRANSACTION_H_
#define QSWEEP_STORAGE_TRANSACTION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/status.h"
#include "storage/database.h"

namespace qsweep::storage {

// The only way to write. All or nothing: rolled back unless Commit() has returned OK. The first
// statement that fails, be it a read, is remembered, and a transaction with one never commits,
// whatever its callers did with the error.
class Transaction {
 public:
  // One at a time for each database.
  explicit Transaction(Database& database);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  // Returns the number of rows changed.
  template <typename... Args>
  absl::StatusOr<int64_t> Execute(absl::string_view sql, const Args&... args) {
    RETURN_IF_ERROR(error());
    Statement statement(database_, sql, args...);
    return Finish(statement);
  }

  // For compare-and-set: exactly one row must change. Aborted if not: what was read has changed.
  template <typename... Args>
  absl::Status ExecuteOne(absl::string_view sql, const Args&... args) {
    const absl::StatusOr<int64_t> changed = Execute(sql, args...);
    if (!changed.ok()) return changed.status();
    return *changed == 1 ? absl::OkStatus() : LostCompareAndSet(sql, *changed);
  }

  int64_t last_insert_id() const;
  Database& database() { return database_; }
  // Of the first statement that failed, if any.
  const absl::Status& error() const { return database_.transaction_error_; }

  // On disk when it returns OK.
  absl::Status Commit();

 private:
  absl::StatusOr<int64_t> Finish(Statement& statement);
  absl::Status LostCompareAndSet(absl::string_view sql, int64_t changed);

  Database& database_;
  bool open_ = false;
};

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_TRANSACTION_H_
