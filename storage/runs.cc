#include "storage/runs.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/state_names.h"
#include "common/status.h"
#include "storage/text.h"

namespace qsweep::storage {
namespace {

#define RUN_COLUMNS                                                                            \
  "runs.id, sweep_id, name, runs.key, state, attempt, step, total_steps, resource_failures, "  \
  "machine_faults, blame, error, reused_run_id, started_us, ended_us, paused, not_before_us, " \
  "avoided"
constexpr int kRunColumns = 18;

RunRow RowOf(const Statement& query) {
  RunRow row;
  row.id = RunId(query.Int(0));
  row.sweep = SweepId(query.Int(1));
  row.name = query.Text(2);
  row.key = query.Text(3);
  row.state = RunStateFromText(query.Text(4));
  row.attempt = AttemptNumber(query.Int32(5));
  row.step = query.Int(6);
  row.total_steps = query.Int(7);
  row.resource_failures = query.Int32(8);
  row.machine_faults = query.Int32(9);
  row.blame = BlameFromText(query.Text(10));
  row.error = query.Text(11);
  row.reused = RunId(query.Int(12));
  row.started_us = query.Int(13);
  row.ended_us = query.Int(14);
  row.paused = query.Int(15) != 0;
  row.not_before_us = query.Int(16);
  row.avoided = absl::StrSplit(query.Text(17), ' ', absl::SkipEmpty());
  return row;
}

}  // namespace

absl::Status InsertSpec(Transaction& transaction, const SpecRow& row) {
  return transaction
      .Execute(
          "INSERT INTO specs (key, json, model, dataset, weights_key, memory_bytes, kind) "
          "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET kind = excluded.kind",
          row.key, row.json, row.model, row.dataset, row.weights_key, row.memory_bytes, row.kind)
      .status();
}

absl::StatusOr<std::optional<SpecRow>> ReadSpec(Database& database, const std::string& key) {
  Statement query(database,
                  "SELECT json, model, dataset, weights_key, memory_bytes, kind FROM specs "
                  "WHERE key = ?",
                  key);
  return One(query, [&](const Statement& row) {
    return SpecRow{key,         row.Text(0), row.Text(1), row.Text(2),
                   row.Text(3), row.Int(4),  row.Text(5)};
  });
}

absl::StatusOr<RunId> InsertRun(Transaction& transaction, SweepId sweep, const std::string& name,
                                const std::string& key) {
  RETURN_IF_ERROR(transaction.ExecuteOne(
      "INSERT INTO runs (sweep_id, name, key, state) VALUES (?, ?, ?, 'pending')", sweep, name,
      key));
  return RunId(transaction.last_insert_id());
}

absl::Status StartRun(Transaction& transaction, const AttemptId& attempt, int64_t step,
                      int64_t at_us) {
  return transaction.ExecuteOne(
      "UPDATE runs SET state = 'running', attempt = ?, step = ?, "
      "started_us = coalesce(started_us, ?) "
      "WHERE id = ? AND state = 'pending' AND attempt = ? - 1",
      attempt.number, step, at_us, attempt.run, attempt.number);
}

absl::Status MoveRun(Transaction& transaction, const RunMove& move, int64_t at_us) {
  return transaction.ExecuteOne(
      "UPDATE runs SET state = ?, blame = ?, error = ?, reused_run_id = ?, resource_failures = ?, "
      "machine_faults = ?, ended_us = ?, not_before_us = ?, avoided = ? WHERE id = ? AND state = ?",
      EnumText(move.to), BlameText(move.blame), move.error, NullIfZero(move.reused.value()),
      move.resource_failures, move.machine_faults, NullIfZero(HasEnded(move.to) ? at_us : 0),
      NullIfZero(move.not_before_us), absl::StrJoin(move.avoided, " "), move.id,
      EnumText(move.from));
}

absl::Status SetRunPaused(Transaction& transaction, RunId id, bool paused) {
  return transaction.ExecuteOne("UPDATE runs SET paused = ? WHERE id = ?", paused ? 1 : 0, id);
}

absl::Status SetRunProgress(Transaction& transaction, RunId id, int64_t step, int64_t total_steps) {
  return transaction.ExecuteOne("UPDATE runs SET step = ?, total_steps = ? WHERE id = ?", step,
                                total_steps, id);
}

absl::StatusOr<std::optional<RunRow>> ReadRun(Database& database, RunId id) {
  Statement query(database, "SELECT " RUN_COLUMNS " FROM runs WHERE id = ?", id);
  return One(query, RowOf);
}

absl::StatusOr<std::optional<RunId>> FindRun(Database& database, SweepId sweep,
                                             const std::string& name) {
  Statement query(database, "SELECT id FROM runs WHERE sweep_id = ? AND name = ?", sweep, name);
  return One(query, [](const Statement& row) { return RunId(row.Int(0)); });
}

absl::StatusOr<std::vector<RunRow>> ListRuns(Database& database, SweepId sweep,
                                             const std::vector<v1::RunState>& states, RunId after,
                                             int64_t limit) {
  Statement query(database,
                  "SELECT " RUN_COLUMNS " FROM runs WHERE sweep_id = ? AND id > ? ORDER BY id",
                  sweep, after);
  std::vector<RunRow> rows;
  while (static_cast<int64_t>(rows.size()) < limit) {
    ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    const v1::RunState state = RunStateFromText(query.Text(4));
    if (states.empty() || std::find(states.begin(), states.end(), state) != states.end()) {
      rows.push_back(RowOf(query));
    }
  }
  return rows;
}

absl::Status ForEachRun(Database& database,
                        const std::function<void(const RunRow&, const SpecRow&)>& visit) {
  Statement query(database, "SELECT " RUN_COLUMNS
                            ", model, dataset, weights_key, memory_bytes, kind "
                            "FROM runs JOIN specs ON specs.key = runs.key ORDER BY runs.id");
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return absl::OkStatus();
    const RunRow run = RowOf(query);
    visit(run, SpecRow{run.key, "", query.Text(kRunColumns), query.Text(kRunColumns + 1),
                       query.Text(kRunColumns + 2), query.Int(kRunColumns + 3),
                       query.Text(kRunColumns + 4)});
  }
}

absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ByRun(Statement& query) {
  return All(query, [](const Statement& row) { return std::pair(RunId(row.Int(0)), row.Int(1)); });
}

}  // namespace qsweep::storage
