#include "storage/measurements.h"

#include "common/status.h"

namespace qsweep::storage {

absl::StatusOr<bool> IsMeasured(Database& database, const std::string& kind, const WorkerId& worker,
                                int64_t micro_batch, int64_t peak_bytes, int64_t since_us) {
  Statement query(database,
                  "SELECT 1 FROM measurements WHERE kind = ? AND worker_id = ? AND micro_batch = ? "
                  "AND peak_bytes >= ? AND at_us > ?",
                  kind, worker, micro_batch, peak_bytes, since_us);
  return query.Step();
}

absl::Status PutMeasurement(Transaction& transaction, const MeasurementRow& row, int64_t at_us) {
  return transaction.ExecuteOne(
      "INSERT OR REPLACE INTO measurements (kind, worker_id, micro_batch, peak_bytes, "
      "estimated_bytes, images_per_s, at_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
      row.kind, row.worker, row.micro_batch, row.peak_bytes, row.estimated_bytes, row.images_per_s,
      at_us);
}

absl::StatusOr<std::vector<MeasurementRow>> ListMeasurements(Database& database) {
  Statement query(database,
                  "SELECT kind, worker_id, micro_batch, peak_bytes, estimated_bytes, images_per_s "
                  "FROM measurements ORDER BY at_us");
  return All(query, [](const Statement& row) {
    return MeasurementRow{row.Text(0), WorkerId(row.Text(1)), row.Int(2), row.Int(3), row.Int(4),
                          row.Real(5)};
  });
}

}  // namespace qsweep::storage
