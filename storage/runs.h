// Runs, and the specs they share.
#ifndef QSWEEP_STORAGE_RUNS_H_
#define QSWEEP_STORAGE_RUNS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/sweep.pb.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct SpecRow {
  std::string key;
  std::string json;   // canonical
  std::string model;  // whose trained weights the machine must have; empty: none
  std::string dataset;
  std::string weights_key;   // the run that produces model.weights; empty: none
  int64_t memory_bytes = 0;  // estimated, at the smallest micro-batch
  std::string kind;          // common/spec/kind.h
};

// Fine if it is there.
absl::Status InsertSpec(Transaction& transaction, const SpecRow& row);
absl::StatusOr<std::optional<SpecRow>> ReadSpec(Database& database, const std::string& key);

struct RunRow {
  RunId id;
  SweepId sweep;
  std::string name;
  std::string key;
  v1::RunState state = v1::RUN_STATE_PENDING;
  AttemptNumber attempt;
  int64_t step = 0;
  int64_t total_steps = 0;
  int32_t resource_failures = 0;
  int32_t machine_faults = 0;
  v1::Blame blame = v1::BLAME_UNSPECIFIED;
  std::string error;
  RunId reused;            // 0: its own result
  int64_t started_us = 0;  // 0: not yet
  int64_t ended_us = 0;
  bool paused = false;
  int64_t not_before_us = 0;         // 0: now
  std::vector<std::string> avoided;  // ids of workers
};

// A pending run.
absl::StatusOr<RunId> InsertRun(Transaction& transaction, SweepId sweep, const std::string& name,
                                const std::string& key);

// pending to running, by the attempt after the run's last one, at `step`.
absl::Status StartRun(Transaction& transaction, const AttemptId& attempt, int64_t step,
                      int64_t at_us);

// Any other change of state; Aborted if the run is not in `from`.
struct RunMove {
  RunId id;
  v1::RunState from = v1::RUN_STATE_UNSPECIFIED;
  v1::RunState to = v1::RUN_STATE_UNSPECIFIED;
  v1::Blame blame = v1::BLAME_UNSPECIFIED;
  std::string error;
  RunId reused;
  int32_t resource_failures = 0;
  int32_t machine_faults = 0;
  int64_t not_before_us = 0;
  std::vector<std::string> avoided;
};
absl::Status MoveRun(Transaction& transaction, const RunMove& move, int64_t at_us);

absl::Status SetRunPaused(Transaction& transaction, RunId id, bool paused);
absl::Status SetRunProgress(Transaction& transaction, RunId id, int64_t step, int64_t total_steps);

absl::StatusOr<std::optional<RunRow>> ReadRun(Database& database, RunId id);
absl::StatusOr<std::optional<RunId>> FindRun(Database& database, SweepId sweep,
                                             const std::string& name);
// In the order of ids, those after `after`; no states: all.
absl::StatusOr<std::vector<RunRow>> ListRuns(Database& database, SweepId sweep,
                                             const std::vector<v1::RunState>& states, RunId after,
                                             int64_t limit);
// Every run in the order of ids, with its spec but for the json.
absl::Status ForEachRun(Database& database,
                        const std::function<void(const RunRow&, const SpecRow&)>& visit);
// All rows of a query for a run's id and a number.
absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ByRun(Statement& query);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_RUNS_H_
