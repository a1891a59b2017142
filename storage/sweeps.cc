#include "storage/sweeps.h"

#include "common/status.h"
#include "storage/text.h"

namespace qsweep::storage {
namespace {

SweepRow RowOf(const Statement& query) {
  SweepRow row;
  row.id = SweepId(query.Int(0));
  row.request_id = query.Text(1);
  row.name = query.Text(2);
  row.priority = query.Int32(3);
  row.created_us = query.Int(4);
  row.ended_us = query.Int(5);
  row.source_yaml = query.Text(6);
  return row;
}

SweepId IdOf(const Statement& query) { return SweepId(query.Int(0)); }

}  // namespace

absl::StatusOr<SweepId> InsertSweep(Transaction& transaction, const SweepRow& row) {
  RETURN_IF_ERROR(transaction.ExecuteOne(
      "INSERT INTO sweeps (request_id, name, priority, source_yaml, created_us, ended_us) "
      "VALUES (?, ?, ?, ?, ?, ?)",
      row.request_id, row.name, row.priority, row.source_yaml, row.created_us,
      NullIfZero(row.ended_us)));
  return SweepId(transaction.last_insert_id());
}

absl::Status SetSweepEnded(Transaction& transaction, SweepId id, int64_t ended_us) {
  return transaction.ExecuteOne("UPDATE sweeps SET ended_us = ? WHERE id = ?", NullIfZero(ended_us),
                                id);
}

absl::StatusOr<std::optional<SweepRow>> ReadSweep(Database& database, SweepId id) {
  Statement query(database,
                  "SELECT id, request_id, name, priority, created_us, ended_us, source_yaml "
                  "FROM sweeps WHERE id = ?",
                  id);
  return One(query, RowOf);
}

absl::StatusOr<std::optional<SweepId>> FindSweepByRequest(Database& database,
                                                          const std::string& request_id) {
  Statement query(database, "SELECT id FROM sweeps WHERE request_id = ?", request_id);
  return One(query, IdOf);
}

absl::StatusOr<std::optional<SweepId>> FindSweepByName(Database& database,
                                                       const std::string& name) {
  Statement query(database, "SELECT id FROM sweeps WHERE name = ? ORDER BY id DESC LIMIT 1", name);
  return One(query, IdOf);
}

absl::StatusOr<std::vector<SweepRow>> ListSweeps(Database& database, SweepId before,
                                                 int64_t limit) {
  Statement query(database,
                  "SELECT id, request_id, name, priority, created_us, ended_us, '' FROM sweeps "
                  "WHERE id < ? ORDER BY id DESC LIMIT ?",
                  before, limit);
  return All(query, RowOf);
}

}  // namespace qsweep::storage
