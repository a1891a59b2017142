// What is known of every worker that has ever connected. Times (_us): microseconds since 1970.
#ifndef QSWEEP_STORAGE_WORKERS_H_
#define QSWEEP_STORAGE_WORKERS_H_

#include <cstdint>
#include <vector>

#include "common/ids.h"
#include "qsweep/v1/worker.pb.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct WorkerRow {
  v1::WorkerInfo info;  // as its last hello said
  int64_t last_seen_us = 0;
  bool draining = false;
  bool moving = false;
  int32_t faults = 0;
  int64_t rests_until_us = 0;
};

absl::Status PutWorker(Transaction& transaction, const WorkerRow& row);
absl::Status SetWorkerDraining(Transaction& transaction, const WorkerId& id, bool draining,
                               bool moving);
absl::Status SetWorkerFaults(Transaction& transaction, const WorkerId& id, int32_t faults,
                             int64_t rests_until_us);
absl::Status SetWorkerSeen(Transaction& transaction, const WorkerId& id, int64_t at_us);
// By id.
absl::StatusOr<std::vector<WorkerRow>> ListWorkers(Database& database);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_WORKERS_H_
