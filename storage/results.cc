#include "storage/results.h"

#include "common/proto_json.h"
#include "common/status.h"

namespace qsweep::storage {
namespace {

// The message in the only column of the only row; nullopt without a row or with an empty column.
template <typename Message>
absl::StatusOr<std::optional<Message>> OneMessage(Statement& query) {
  ASSIGN_OR_RETURN(const bool found, query.Step());
  const std::string json = found ? query.Text(0) : "";
  if (json.empty()) return std::nullopt;
  Message message;
  if (const absl::Status status = FromJson(json, &message); !status.ok()) {
    return absl::DataLossError(absl::StrCat("stored result is unreadable: ", status.message()));
  }
  return message;
}

}  // namespace

absl::Status PutQuantization(Transaction& transaction, RunId run,
                             const v1::QuantizationFacts& facts) {
  return transaction.ExecuteOne(
      "INSERT INTO results (run_id, quantization_json) VALUES (?, ?) "
      "ON CONFLICT (run_id) DO UPDATE SET quantization_json = excluded.quantization_json",
      run, ToJson(facts));
}

StoredResult::StoredResult(const v1::RunResult& result) : json(ToJson(result)) {
  if (result.has_sensitivity()) return;  // it trained nothing that an accuracy would be of
  v1::Evaluation best = result.best();
  best.clear_confusion();
  best_json = ToJson(best);
}

absl::Status PutResult(Transaction& transaction, const AttemptId& attempt,
                       const StoredResult& result) {
  return transaction.ExecuteOne(
      "INSERT INTO results (run_id, result_json, best_json, attempt) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (run_id) DO UPDATE SET result_json = excluded.result_json, "
      "best_json = excluded.best_json, attempt = excluded.attempt",
      attempt.run, result.json, result.best_json, attempt.number);
}

absl::StatusOr<std::optional<v1::QuantizationFacts>> ReadQuantization(Database& database,
                                                                      RunId run) {
  Statement query(database, "SELECT quantization_json FROM results WHERE run_id = ?", run);
  return OneMessage<v1::QuantizationFacts>(query);
}

absl::StatusOr<std::optional<v1::RunResult>> ReadResult(Database& database, RunId run) {
  Statement query(database, "SELECT result_json FROM results WHERE run_id = ?", run);
  return OneMessage<v1::RunResult>(query);
}

absl::StatusOr<std::optional<v1::Evaluation>> ReadBest(Database& database, RunId run) {
  Statement query(database, "SELECT best_json FROM results WHERE run_id = ?", run);
  return OneMessage<v1::Evaluation>(query);
}

absl::StatusOr<bool> HasResult(Database& database, const AttemptId& attempt) {
  Statement query(database, "SELECT 1 FROM results WHERE run_id = ? AND attempt = ?", attempt.run,
                  attempt.number);
  return query.Step();
}

}  // namespace qsweep::storage
