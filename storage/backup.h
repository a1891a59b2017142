// A copy of a database that is in use.
#ifndef QSWEEP_STORAGE_BACKUP_H_
#define QSWEEP_STORAGE_BACKUP_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/database.h"

struct sqlite3;
struct sqlite3_backup;

namespace qsweep::storage {

// Copies piece by piece, on the database's thread, while others commit in between: what they change
// is carried over. Unless it is finished, destruction removes what there is of the copy; before all
// is copied it belongs to the database's thread, too.
class Backup {
 public:
  // AlreadyExists if the file `to` is there.
  static absl::StatusOr<std::unique_ptr<Backup>> Begin(Database& from, const std::string& to);
  ~Backup();
  Backup(const Backup&) = delete;
  Backup& operator=(const Backup&) = delete;

  // Outside transactions. Copies up to so many pages of 4 KiB; whether all have been.
  absl::StatusOr<bool> Step(int pages);
  // When all have been: the copy is one file, on disk, as of the last Step.
  absl::Status Finish();

 private:
  explicit Backup(std::string to) : to_(std::move(to)) {}
  absl::Status Error(int code) const;

  const std::string to_;
  sqlite3* copy_ = nullptr;
  sqlite3_backup* backup_ = nullptr;
  bool finished_ = false;
};

// Opens a database that no process has open, as it is, and checks it (Database::Check).
// InvalidArgument if it is none of qsweep's, FailedPrecondition if a newer one made it. Any thread.
absl::Status CheckDatabaseFile(const std::string& path);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_BACKUP_H_
