// Sweeps as they were submitted. Times (_us): microseconds since 1970.
#ifndef QSWEEP_STORAGE_SWEEPS_H_
#define QSWEEP_STORAGE_SWEEPS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct SweepRow {
  SweepId id;
  std::string request_id;
  std::string name;
  int32_t priority = 0;
  std::string source_yaml;
  int64_t created_us = 0;
  int64_t ended_us = 0;  // 0: not yet
};

// Ignores row.id.
absl::StatusOr<SweepId> InsertSweep(Transaction& transaction, const SweepRow& row);
// 0 opens it again.
absl::Status SetSweepEnded(Transaction& transaction, SweepId id, int64_t ended_us);

absl::StatusOr<std::optional<SweepRow>> ReadSweep(Database& database, SweepId id);
absl::StatusOr<std::optional<SweepId>> FindSweepByRequest(Database& database,
                                                          const std::string& request_id);
// The newest of that name.
absl::StatusOr<std::optional<SweepId>> FindSweepByName(Database& database, const std::string& name);
// Newest first, those with smaller ids than `before`, without source_yaml.
absl::StatusOr<std::vector<SweepRow>> ListSweeps(Database& database, SweepId before, int64_t limit);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_SWEEPS_H_
