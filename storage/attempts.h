// The attempts at runs: on which worker, from where, and how each ended. Times (_us): microseconds
// since 1970.
#ifndef QSWEEP_STORAGE_ATTEMPTS_H_
#define QSWEEP_STORAGE_ATTEMPTS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "qsweep/v1/event.pb.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct AttemptRow {
  AttemptId id;
  WorkerId worker;
  int64_t started_us = 0;
  int64_t ended_us = 0;  // 0: still held
  int64_t resume_step = 0;
  uint64_t acked_offset = 0;
  std::string outcome;  // running, succeeded, failed, lost, released, cancelled
  v1::Blame blame = v1::BLAME_UNSPECIFIED;
  std::string error;
  std::string log_tail;
  int64_t memory_bytes = 0;  // that it may use
};

absl::Status InsertAttempt(Transaction& transaction, const AttemptId& id, const WorkerId& worker,
                           int64_t resume_step, int64_t memory_bytes, int64_t at_us);
// Aborted if it is not running.
absl::Status EndAttempt(Transaction& transaction, const AttemptId& id, absl::string_view outcome,
                        v1::Blame blame, const std::string& error, const std::string& log_tail,
                        int64_t at_us);
// Aborted unless `from` is stored and the attempt is running.
absl::Status AdvanceAckedOffset(Transaction& transaction, const AttemptId& id, uint64_t from,
                                uint64_t to);

absl::StatusOr<std::vector<AttemptRow>> ListAttempts(Database& database, RunId run);
absl::StatusOr<std::vector<AttemptRow>> ListRunningAttempts(Database& database);
// The most memory that an attempt had and that was too little, of every run with such, by run.
absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ListExhaustedBytes(Database& database);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_ATTEMPTS_H_
