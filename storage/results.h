// What runs leave behind in numbers: quantization facts as soon as known, the result at the end.
#ifndef QSWEEP_STORAGE_RESULTS_H_
#define QSWEEP_STORAGE_RESULTS_H_

#include <optional>
#include <string>

#include "common/ids.h"
#include "qsweep/v1/result.pb.h"
#include "storage/transaction.h"

namespace qsweep::storage {

absl::Status PutQuantization(Transaction& transaction, RunId run,
                             const v1::QuantizationFacts& facts);
// A result as it is stored; on any thread, since it takes longer than storing it.
struct StoredResult {
  explicit StoredResult(const v1::RunResult& result);
  std::string json;
  std::string best_json;
};
absl::Status PutResult(Transaction& transaction, const AttemptId& attempt,
                       const StoredResult& result);

absl::StatusOr<std::optional<v1::QuantizationFacts>> ReadQuantization(Database& database,
                                                                      RunId run);
absl::StatusOr<std::optional<v1::RunResult>> ReadResult(Database& database, RunId run);
// The result's best evaluation, without its confusion matrix.
absl::StatusOr<std::optional<v1::Evaluation>> ReadBest(Database& database, RunId run);
// Whether this very attempt has reported a result.
absl::StatusOr<bool> HasResult(Database& database, const AttemptId& attempt);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_RESULTS_H_
