#include "storage/workers.h"

#include "common/proto_json.h"
#include "common/status.h"

namespace qsweep::storage {

absl::Status PutWorker(Transaction& transaction, const WorkerRow& row) {
  return transaction.ExecuteOne(
      "INSERT INTO workers (id, info_json, last_seen_us) VALUES (?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET info_json = excluded.info_json, "
      "last_seen_us = excluded.last_seen_us",
      row.info.id(), ToJson(row.info), row.last_seen_us);
}

absl::Status SetWorkerDraining(Transaction& transaction, const WorkerId& id, bool draining,
                               bool moving) {
  return transaction.ExecuteOne("UPDATE workers SET draining = ?, moving = ? WHERE id = ?",
                                draining, moving, id);
}

absl::Status SetWorkerFaults(Transaction& transaction, const WorkerId& id, int32_t faults,
                             int64_t rests_until_us) {
  return transaction.ExecuteOne("UPDATE workers SET faults = ?, rests_until_us = ? WHERE id = ?",
                                faults, rests_until_us, id);
}

absl::Status SetWorkerSeen(Transaction& transaction, const WorkerId& id, int64_t at_us) {
  return transaction.ExecuteOne("UPDATE workers SET last_seen_us = ? WHERE id = ?", at_us, id);
}

absl::StatusOr<std::vector<WorkerRow>> ListWorkers(Database& database) {
  Statement query(database,
                  "SELECT info_json, last_seen_us, draining, faults, rests_until_us, moving "
                  "FROM workers ORDER BY id");
  std::vector<WorkerRow> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return rows;
    WorkerRow& row = rows.emplace_back();
    if (const absl::Status status = FromJson(query.Text(0), &row.info); !status.ok()) {
      return absl::DataLossError(absl::StrCat("stored worker is unreadable: ", status.message()));
    }
    row.last_seen_us = query.Int(1);
    row.draining = query.Int(2) != 0;
    row.faults = query.Int32(3);
    row.rests_until_us = query.Int(4);
    row.moving = query.Int(5) != 0;
  }
}

}  // namespace qsweep::storage
