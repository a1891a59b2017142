#ifndef QSWEEP_SCHEDULER_SERVICE_DATABASE_COPY_H_
#define QSWEEP_SCHEDULER_SERVICE_DATABASE_COPY_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/loop.h"
#include "storage/backup.h"

namespace qsweep {

// Copies the loop's database to the file `to`, a piece after each of its rounds, so that nobody
// waits. Then calls `done` on the loop's thread, with the copy to be finished elsewhere. `stop`,
// once true, ends it with Cancelled.
void CopyDatabase(Loop& loop, const std::string& to, const std::atomic<bool>& stop,
                  std::function<void(absl::StatusOr<std::shared_ptr<storage::Backup>>)> done);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_DATABASE_COPY_H_
