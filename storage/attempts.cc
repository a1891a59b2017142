#include "storage/attempts.h"

#include "common/status.h"
#include "storage/runs.h"
#include "storage/text.h"

namespace qsweep::storage {
namespace {

#define ATTEMPT_COLUMNS                                                                   \
  "run_id, number, worker_id, started_us, ended_us, resume_step, acked_offset, outcome, " \
  "blame, error, log_tail, memory_bytes"

AttemptRow RowOf(const Statement& query) {
  AttemptRow row;
  row.id = {RunId(query.Int(0)), AttemptNumber(query.Int32(1))};
  row.worker = WorkerId(query.Text(2));
  row.started_us = query.Int(3);
  row.ended_us = query.Int(4);
  row.resume_step = query.Int(5);
  row.acked_offset = static_cast<uint64_t>(query.Int(6));
  row.outcome = query.Text(7);
  row.blame = BlameFromText(query.Text(8));
  row.error = query.Text(9);
  row.log_tail = query.Text(10);
  row.memory_bytes = query.Int(11);
  return row;
}

}  // namespace

absl::Status InsertAttempt(Transaction& transaction, const AttemptId& id, const WorkerId& worker,
                           int64_t resume_step, int64_t memory_bytes, int64_t at_us) {
  return transaction.ExecuteOne(
      "INSERT INTO attempts (run_id, number, worker_id, started_us, resume_step, memory_bytes) "
      "VALUES (?, ?, ?, ?, ?, ?)",
      id.run, id.number, worker, at_us, resume_step, memory_bytes);
}

absl::Status EndAttempt(Transaction& transaction, const AttemptId& id, absl::string_view outcome,
                        v1::Blame blame, const std::string& error, const std::string& log_tail,
                        int64_t at_us) {
  return transaction.ExecuteOne(
      "UPDATE attempts SET outcome = ?, blame = ?, error = ?, log_tail = ?, ended_us = ? "
      "WHERE run_id = ? AND number = ? AND outcome = 'running'",
      outcome, BlameText(blame), error, log_tail, at_us, id.run, id.number);
}

absl::Status AdvanceAckedOffset(Transaction& transaction, const AttemptId& id, uint64_t from,
                                uint64_t to) {
  return transaction.ExecuteOne(
      "UPDATE attempts SET acked_offset = ? "
      "WHERE run_id = ? AND number = ? AND outcome = 'running' AND acked_offset = ?",
      to, id.run, id.number, from);
}

absl::StatusOr<std::vector<AttemptRow>> ListAttempts(Database& database, RunId run) {
  Statement query(database,
                  "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE run_id = ? ORDER BY number", run);
  return All(query, RowOf);
}

absl::StatusOr<std::vector<AttemptRow>> ListRunningAttempts(Database& database) {
  Statement query(database, "SELECT " ATTEMPT_COLUMNS
                            " FROM attempts WHERE outcome = 'running' ORDER BY run_id");
  return All(query, RowOf);
}

absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ListExhaustedBytes(Database& database) {
  Statement query(database,
                  "SELECT run_id, max(memory_bytes) FROM attempts WHERE blame = 'resources' "
                  "GROUP BY run_id ORDER BY run_id");
  return ByRun(query);
}

}  // namespace qsweep::storage
