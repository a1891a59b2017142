#include "storage/transaction.h"

#include <sqlite3.h>

#include "common/status.h"

namespace qsweep::storage {

Transaction::Transaction(Database& database) : database_(database) {
  QSWEEP_CHECK(!database.in_transaction_);
  database.transaction_error_ = database.Script("BEGIN IMMEDIATE");
  open_ = database.in_transaction_ = error().ok();
}

Transaction::~Transaction() {
  if (!open_) return;
  // Fails only where SQLite has rolled back already, after a full disk for instance.
  (void)database_.Script("ROLLBACK");
  database_.in_transaction_ = false;
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(error());
  QSWEEP_CHECK(open_);
  database_.transaction_error_ = database_.Script("COMMIT");
  if (error().ok()) open_ = database_.in_transaction_ = false;
  return error();
}

int64_t Transaction::last_insert_id() const { return sqlite3_last_insert_rowid(database_.handle_); }

absl::StatusOr<int64_t> Transaction::Finish(Statement& statement) {
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  QSWEEP_CHECK(!row);  // reading is Statement's business
  return sqlite3_changes64(database_.handle_);
}

absl::Status Transaction::LostCompareAndSet(absl::string_view sql, int64_t changed) {
  return database_.transaction_error_ = absl::AbortedError(
             absl::StrCat(database_.path_, ": ", changed, " rows changed in place of one: ", sql));
}

}  // namespace qsweep::storage
