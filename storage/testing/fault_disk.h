// A disk for tests that fails as it is told: SQLite's default VFS for as long as it lives, with its
// files in memory. Each file is kept twice: as programs see it, and as it would be found once the
// power had gone, with the writes since the last sync between the two. The kernel that it imitates
// forgets, when a sync fails, that those writes were ever to be done (as Linux does): a later sync
// succeeds without them, though they can still be read.
#ifndef QSWEEP_STORAGE_TESTING_FAULT_DISK_H_
#define QSWEEP_STORAGE_TESTING_FAULT_DISK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

struct sqlite3_vfs;

namespace qsweep::storage {

class FaultDisk {
 public:
  enum class Fault {
    kNone,
    kPowerLossBeforeSync,  // the sync does nothing
    kPowerLossAfterSync,   // it has done its work, and nobody hears of it
    kPowerLossAtWrite,     // the write is on its way
    kDiskFull,             // this write and all later ones do half their work
    kQuota,                // this write and all later ones do nothing (EDQUOT)
    kWriteError,
    kSyncError,
  };

  FaultDisk();  // one at a time
  ~FaultDisk();
  FaultDisk(const FaultDisk&) = delete;
  FaultDisk& operator=(const FaultDisk&) = delete;

  // Thread-safe, as all below. The so-many-th sync or write from now on, from 1, meets the fault.
  void Arm(Fault fault, int64_t at);
  bool fired() const;
  // Since the last Arm.
  int64_t syncs() const;
  int64_t writes() const;

  // The process dies: whatever is open works no more, even to be closed.
  void Crash();
  // The next process: it sees all that the last one had written.
  void Restart();
  // The next process after the power had gone: of the 512-byte pieces of what was not synced, each
  // has arrived with this probability.
  void RestartAfterPowerLoss(double arrived, uint32_t seed);

 private:
  friend struct FaultFile;
  struct Write {
    int64_t offset = 0;
    std::string bytes;
    bool truncate = false;  // to `offset`
  };
  struct Node {
    std::string now;   // as it is read
    std::string disk;  // as of the last sync
    std::vector<Write> pending;
    bool synced = false;
  };

  int Open(const char* name, std::shared_ptr<Node>* node, int flags);
  int Delete(const std::string& name, bool sync);
  bool Exists(const std::string& name);
  int Put(const std::shared_ptr<Node>& node, Write write);
  int Sync(const std::shared_ptr<Node>& node);
  int Get(const Node& node, void* to, int bytes, int64_t offset);
  int64_t Size(const Node& node);

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Fault fault_ = Fault::kNone;
  int64_t at_ = 0, syncs_ = 0, writes_ = 0;
  bool fired_ = false;
  int64_t life_ = 1;  // of processes; files opened in an earlier one are dead
  bool dead_ = false;
  std::map<std::string, std::shared_ptr<Node>> names_;
  std::map<std::string, std::shared_ptr<Node>> durable_names_;

  std::unique_ptr<sqlite3_vfs> vfs_;
  sqlite3_vfs* const real_;  // the default before: for its clock, its sleep, its random numbers
};

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_TESTING_FAULT_DISK_H_
