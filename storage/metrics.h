// The points of runs' curves: those that count, and those that a later attempt has superseded.
#ifndef QSWEEP_STORAGE_METRICS_H_
#define QSWEEP_STORAGE_METRICS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/ids.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct MetricRow {
  std::string name;
  int64_t step = 0;
  double value = 0;  // NaN comes back as NaN
};

// A point that the run has already (same name and step) takes the new value.
absl::Status PutMetric(Transaction& transaction, const AttemptId& attempt, const MetricRow& point);

// Moves the run's points past `step` to superseded_metrics: a new attempt goes on from there.
absl::Status SupersedeMetrics(Transaction& transaction, RunId run, int64_t step);

// By name, then step, beginning behind (from.name, from.step).
// No names: all.
absl::StatusOr<std::vector<MetricRow>> ReadMetrics(Database& database, RunId run,
                                                   const std::vector<std::string>& names,
                                                   const MetricRow& from, int64_t limit);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_METRICS_H_
