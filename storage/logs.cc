#include "storage/logs.h"

#include "common/status.h"

namespace qsweep::storage {
namespace {

constexpr size_t kPageBytes = 32 << 20;  // that go into a message and leave room there

absl::StatusOr<std::vector<LogRow>> PageOf(Statement& query) {
  std::vector<LogRow> rows;
  for (size_t bytes = 0; bytes < kPageBytes; bytes += rows.back().text.size()) {
    ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    rows.push_back(
        {query.Int(0), AttemptNumber(query.Int32(1)), query.Int(2), query.Text(3), query.Text(4)});
  }
  return rows;
}

}  // namespace

absl::Status AddLog(Transaction& transaction, const AttemptId& attempt, int64_t at_us,
                    absl::string_view level, absl::string_view text) {
  return transaction.ExecuteOne(
      "INSERT INTO logs (run_id, attempt, at_us, level, text) VALUES (?, ?, ?, ?, ?)", attempt.run,
      attempt.number, at_us, level, text);
}

absl::Status AddHistory(Transaction& transaction, const AttemptId& attempt, int64_t at_us,
                        absl::string_view text) {
  return transaction.ExecuteOne(
      "INSERT INTO history (run_id, attempt, at_us, text) VALUES (?, ?, ?, ?)", attempt.run,
      attempt.number, at_us, text);
}

absl::StatusOr<std::vector<LogRow>> ReadLogs(Database& database, RunId run, int64_t after_id,
                                             int64_t limit) {
  Statement query(database,
                  "SELECT id, attempt, at_us, level, text FROM logs WHERE run_id = ? AND id > ? "
                  "ORDER BY id LIMIT ?",
                  run, after_id, limit);
  return PageOf(query);
}

absl::StatusOr<std::vector<LogRow>> ReadHistory(Database& database, RunId run, int64_t limit) {
  Statement query(database,
                  "SELECT * FROM (SELECT id, attempt, at_us, '', text FROM history "
                  "WHERE run_id = ? ORDER BY id DESC LIMIT ?) ORDER BY id",
                  run, limit);
  return PageOf(query);
}

}  // namespace qsweep::storage
