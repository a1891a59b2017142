#include "scheduler/service/database_copy.h"

#include <utility>

#include "common/status.h"

namespace qsweep {
namespace {

constexpr int kPagesAtATime = 1000;  // 4 MiB, some milliseconds

using Done = std::function<void(absl::StatusOr<std::shared_ptr<storage::Backup>>)>;

struct Copying : std::enable_shared_from_this<Copying> {
  Loop& loop;
  const std::string to;
  const std::atomic<bool>& stop;
  const Done done;
  std::shared_ptr<storage::Backup> backup;

  Copying(Loop& loop, std::string to, const std::atomic<bool>& stop, Done done)
      : loop(loop), to(std::move(to)), stop(stop), done(std::move(done)) {}

  void Next() {
    loop.Post([self = shared_from_this()](Turn& turn) {
      storage::Database& database = turn.database();
      turn.AfterCommit([self, &database] { self->Step(database); });
    });
  }
  void Step(storage::Database& database) {
    const absl::StatusOr<bool> all = Copy(database);
    if (!all.ok()) {
      backup.reset();
      done(all.status());
    } else if (*all) {
      done(std::move(backup));
    } else {
      Next();
    }
  }
  absl::StatusOr<bool> Copy(storage::Database& database) {
    if (stop) return absl::CancelledError("the scheduler is stopping");
    if (backup == nullptr) {
      ASSIGN_OR_RETURN(backup, storage::Backup::Begin(database, to));
    }
    return backup->Step(kPagesAtATime);
  }
};

}  // namespace

void CopyDatabase(Loop& loop, const std::string& to, const std::atomic<bool>& stop, Done done) {
  std::make_shared<Copying>(loop, to, stop, std::move(done))->Next();
}

}  // namespace qsweep
