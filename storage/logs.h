// What was said about a run: by its trainers (logs), and by the scheduler about its fate (history).
#ifndef QSWEEP_STORAGE_LOGS_H_
#define QSWEEP_STORAGE_LOGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/ids.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct LogRow {
  int64_t id = 0;  // rises
  AttemptNumber attempt;
  int64_t at_us = 0;
  std::string level;  // empty in history
  std::string text;
};

absl::Status AddLog(Transaction& transaction, const AttemptId& attempt, int64_t at_us,
                    absl::string_view level, absl::string_view text);
absl::Status AddHistory(Transaction& transaction, const AttemptId& attempt, int64_t at_us,
                        absl::string_view text);

// Fewer than `limit` also where lines are long: all have been read when none comes.
absl::StatusOr<std::vector<LogRow>> ReadLogs(Database& database, RunId run, int64_t after_id,
                                             int64_t limit);
// The newest `limit` lines, oldest first.
absl::StatusOr<std::vector<LogRow>> ReadHistory(Database& database, RunId run, int64_t limit);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_LOGS_H_
