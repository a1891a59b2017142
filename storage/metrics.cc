#include "storage/metrics.h"

#include <set>

#include "common/status.h"

namespace qsweep::storage {
namespace {

// Until there are `limit` of them.
absl::Status AddRows(Statement& query, int64_t limit, std::vector<MetricRow>* rows) {
  while (static_cast<int64_t>(rows->size()) < limit) {
    ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    rows->push_back({query.Text(0), query.Int(1), query.Real(2)});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PutMetric(Transaction& transaction, const AttemptId& attempt, const MetricRow& point) {
  return transaction.ExecuteOne(
      "INSERT INTO metrics (run_id, name, step, attempt, value) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (run_id, name, step) DO UPDATE SET attempt = excluded.attempt, "
      "value = excluded.value",
      attempt.run, point.name, point.step, attempt.number, point.value);
}

absl::Status SupersedeMetrics(Transaction& transaction, RunId run, int64_t step) {
  RETURN_IF_ERROR(
      transaction
          .Execute("INSERT OR REPLACE INTO superseded_metrics (run_id, name, step, attempt, value) "
                   "SELECT run_id, name, step, attempt, value FROM metrics "
                   "WHERE run_id = ? AND step > ?",
                   run, step)
          .status());
  return transaction.Execute("DELETE FROM metrics WHERE run_id = ? AND step > ?", run, step)
      .status();
}

absl::StatusOr<std::vector<MetricRow>> ReadMetrics(Database& database, RunId run,
                                                   const std::vector<std::string>& names,
                                                   const MetricRow& from, int64_t limit) {
  std::vector<MetricRow> rows;
  if (names.empty()) {
    Statement all(database,
                  "SELECT name, step, value FROM metrics "
                  "WHERE run_id = ? AND (name, step) > (?, ?) ORDER BY name, step",
                  run, from.name, from.step);
    RETURN_IF_ERROR(AddRows(all, limit, &rows));
    return rows;
  }
  // Name by name: a run has dozens, and the others' points are not to be looked at.
  for (const std::string& name : std::set<std::string>(names.begin(), names.end())) {
    if (name < from.name) continue;
    Statement one(database,
                  "SELECT name, step, value FROM metrics "
                  "WHERE run_id = ? AND name = ? AND step > ? ORDER BY step",
                  run, name, name == from.name ? from.step : INT64_MIN);
    RETURN_IF_ERROR(AddRows(one, limit, &rows));
  }
  return rows;
}

}  // namespace qsweep::storage
