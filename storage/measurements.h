// What finished runs have measured, by kind of run, worker and micro-batch: the last one counts.
#ifndef QSWEEP_STORAGE_MEASUREMENTS_H_
#define QSWEEP_STORAGE_MEASUREMENTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/ids.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct MeasurementRow {
  std::string kind;  // common/spec/kind.h
  WorkerId worker;
  int64_t micro_batch = 0;
  int64_t peak_bytes = 0;       // resident, of the whole trainer
  int64_t estimated_bytes = 0;  // what had been expected for this micro-batch
  double images_per_s = 0;      // over all the run, evaluations too
};

// Whether a run of the kind was measured there after `since_us`, with no smaller a peak.
absl::StatusOr<bool> IsMeasured(Database& database, const std::string& kind, const WorkerId& worker,
                                int64_t micro_batch, int64_t peak_bytes, int64_t since_us);
absl::Status PutMeasurement(Transaction& transaction, const MeasurementRow& row, int64_t at_us);
absl::StatusOr<std::vector<MeasurementRow>> ListMeasurements(Database& database);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_MEASUREMENTS_H_
