#include "storage/testing/fault_disk.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "common/status.h"

namespace qsweep::storage {
namespace {

constexpr size_t kPiece = 512;  // what a disk writes whole

void Apply(int64_t offset, absl::string_view bytes, std::string* to) {
  const auto end = static_cast<size_t>(offset) + bytes.size();
  if (to->size() < end) to->resize(end, '\0');
  to->replace(static_cast<size_t>(offset), bytes.size(), bytes.data(), bytes.size());
}

FaultDisk* DiskOf(sqlite3_vfs* vfs) { return static_cast<FaultDisk*>(vfs->pAppData); }

}  // namespace

// What SQLite holds; it gives the memory. The base comes first.
struct FaultFile {
  sqlite3_file base;
  FaultDisk* disk;
  std::shared_ptr<FaultDisk::Node> node;
  int64_t life;
  int last_errno = 0;
  std::vector<std::unique_ptr<char[]>> shared;  // one connection: shared with nobody

  static FaultFile* Of(sqlite3_file* file) { return reinterpret_cast<FaultFile*>(file); }
  bool dead() const {
    std::lock_guard<std::mutex> lock(disk->mutex_);
    return disk->dead_ || life != disk->life_;
  }

  static int Close(sqlite3_file* file) {
    Of(file)->~FaultFile();
    return SQLITE_OK;
  }
  static int Read(sqlite3_file* file, void* to, int bytes, sqlite3_int64 offset) {
    FaultFile* f = Of(file);
    return f->dead() ? SQLITE_IOERR_READ : f->disk->Get(*f->node, to, bytes, offset);
  }
  static int Write(sqlite3_file* file, const void* from, int bytes, sqlite3_int64 offset) {
    FaultFile* f = Of(file);
    if (f->dead()) return SQLITE_IOERR_WRITE;
    const int code = f->disk->Put(
        f->node, {offset, std::string(static_cast<const char*>(from), static_cast<size_t>(bytes))});
    if (code == SQLITE_IOERR_WRITE) f->last_errno = errno;  // as the unix VFS keeps it
    return code;
  }
  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    FaultFile* f = Of(file);
    return f->dead() ? SQLITE_IOERR_TRUNCATE : f->disk->Put(f->node, {size, "", true});
  }
  static int Sync(sqlite3_file* file, int) {
    FaultFile* f = Of(file);
    return f->dead() ? SQLITE_IOERR_FSYNC : f->disk->Sync(f->node);
  }
  static int Size(sqlite3_file* file, sqlite3_int64* size) {
    FaultFile* f = Of(file);
    if (f->dead()) return SQLITE_IOERR_FSTAT;
    *size = f->disk->Size(*f->node);
    return SQLITE_OK;
  }
  static int Fine(sqlite3_file*, int) { return SQLITE_OK; }
  static int NotReserved(sqlite3_file*, int* reserved) {
    *reserved = 0;
    return SQLITE_OK;
  }
  static int Control(sqlite3_file* file, int op, void* arg) {
    if (op != SQLITE_FCNTL_LAST_ERRNO) return SQLITE_NOTFOUND;
    *static_cast<int*>(arg) = Of(file)->last_errno;
    return SQLITE_OK;
  }
  // As the real one on Linux says.
  static int SectorSize(sqlite3_file*) { return 4096; }
  static int Characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }
  static int ShmMap(sqlite3_file* file, int index, int size, int, void volatile** memory) {
    auto& shared = Of(file)->shared;
    while (shared.size() <= static_cast<size_t>(index)) {
      shared.push_back(std::make_unique<char[]>(static_cast<size_t>(size)));
    }
    *memory = shared[static_cast<size_t>(index)].get();
    return SQLITE_OK;
  }
  static int ShmLock(sqlite3_file*, int, int, int) { return SQLITE_OK; }
  static void ShmBarrier(sqlite3_file*) {}
  static int ShmUnmap(sqlite3_file* file, int) {
    Of(file)->shared.clear();
    return SQLITE_OK;
  }

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
    file->pMethods = nullptr;
    FaultDisk* disk = DiskOf(vfs);
    std::shared_ptr<FaultDisk::Node> node;
    if (const int code = disk->Open(name, &node, flags); code != SQLITE_OK) return code;
    FaultFile* f = new (file) FaultFile{{&kMethods}, disk, std::move(node), 0, 0, {}};
    std::lock_guard<std::mutex> lock(disk->mutex_);
    f->life = disk->life_;
    if (out != nullptr) *out = flags;
    return SQLITE_OK;
  }
  static int Delete(sqlite3_vfs* vfs, const char* name, int sync) {
    return DiskOf(vfs)->Delete(name, sync != 0);
  }
  static int Access(sqlite3_vfs* vfs, const char* name, int, int* yes) {
    *yes = DiskOf(vfs)->Exists(name) ? 1 : 0;
    return SQLITE_OK;
  }
  static int FullPath(sqlite3_vfs*, const char* name, int size, char* out) {
    sqlite3_snprintf(size, out, "%s", name);
    return SQLITE_OK;
  }

  static const sqlite3_io_methods kMethods;
};

const sqlite3_io_methods FaultFile::kMethods = {
    2,        &Close,       &Read,    &Write,      &Truncate,        &Sync,   &Size,    &Fine,
    &Fine,    &NotReserved, &Control, &SectorSize, &Characteristics, &ShmMap, &ShmLock, &ShmBarrier,
    &ShmUnmap};

FaultDisk::FaultDisk() : vfs_(std::make_unique<sqlite3_vfs>()), real_(sqlite3_vfs_find(nullptr)) {
  *vfs_ = *real_;  // clock, sleep, random numbers
  vfs_->szOsFile = sizeof(FaultFile);
  vfs_->zName = "fault";
  vfs_->pAppData = this;
  vfs_->xOpen = &FaultFile::Open;
  vfs_->xDelete = &FaultFile::Delete;
  vfs_->xAccess = &FaultFile::Access;
  vfs_->xFullPathname = &FaultFile::FullPath;
  QSWEEP_CHECK(sqlite3_vfs_register(vfs_.get(), /*makeDflt=*/1) == SQLITE_OK);
}

FaultDisk::~FaultDisk() {
  sqlite3_vfs_unregister(vfs_.get());
  sqlite3_vfs_register(real_, /*makeDflt=*/1);
}

void FaultDisk::Arm(Fault fault, int64_t at) {
  std::lock_guard<std::mutex> lock(mutex_);
  fault_ = fault;
  at_ = at;
  syncs_ = writes_ = 0;
  fired_ = false;
}

bool FaultDisk::fired() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return fired_;
}

int64_t FaultDisk::syncs() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return syncs_;
}

int64_t FaultDisk::writes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return writes_;
}

void FaultDisk::Crash() {
  std::lock_guard<std::mutex> lock(mutex_);
  dead_ = true;
}

void FaultDisk::Restart() {
  std::lock_guard<std::mutex> lock(mutex_);
  dead_ = false;
  ++life_;
}

void FaultDisk::RestartAfterPowerLoss(double arrived, uint32_t seed) {
  Restart();
  std::lock_guard<std::mutex> lock(mutex_);
  std::mt19937 random(seed);
  const auto arrives = [&] { return std::bernoulli_distribution(arrived)(random); };
  for (auto& [name, node] : durable_names_) {
    for (const Write& write : node->pending) {
      if (write.truncate && arrives()) node->disk.resize(static_cast<size_t>(write.offset));
      for (size_t at = 0; at < write.bytes.size(); at += kPiece) {
        if (!arrives()) continue;
        const auto piece = absl::string_view(write.bytes).substr(at, kPiece);
        Apply(write.offset + static_cast<int64_t>(at), piece, &node->disk);
      }
    }
    node->pending.clear();
    node->now = node->disk;
  }
  names_ = durable_names_;
}

int FaultDisk::Open(const char* name, std::shared_ptr<Node>* node, int flags) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (dead_) return SQLITE_CANTOPEN;
  if (name == nullptr) {
    *node = std::make_shared<Node>();
    return SQLITE_OK;
  }
  const auto it = names_.find(name);
  if (it == names_.end() && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
  *node = it != names_.end() ? it->second : (names_[name] = std::make_shared<Node>());
  return SQLITE_OK;
}

int FaultDisk::Delete(const std::string& name, bool sync) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (dead_) return SQLITE_IOERR_DELETE;
  if (sync) durable_names_.erase(name);
  return names_.erase(name) == 1 ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

bool FaultDisk::Exists(const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  return names_.contains(name);
}

int FaultDisk::Put(const std::shared_ptr<Node>& node, Write write) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++writes_;
  const bool lasts = fault_ == Fault::kDiskFull || fault_ == Fault::kQuota;
  const bool now = lasts ? writes_ >= at_ : writes_ == at_;
  int code = SQLITE_OK;
  if (now && fault_ == Fault::kPowerLossAtWrite) {
    fired_ = dead_ = true;
    code = SQLITE_IOERR_WRITE;
  } else if (now && fault_ == Fault::kQuota && !write.truncate) {
    fired_ = true;
    errno = EDQUOT;
    return SQLITE_IOERR_WRITE;
  } else if (now && fault_ == Fault::kWriteError) {
    fired_ = true;
    return SQLITE_IOERR_WRITE;
  } else if (now && fault_ == Fault::kDiskFull && !write.truncate) {
    fired_ = true;
    write.bytes.resize(write.bytes.size() / 2);
    code = SQLITE_FULL;
  }
  if (write.truncate) {
    node->now.resize(static_cast<size_t>(write.offset), '\0');
  } else {
    Apply(write.offset, write.bytes, &node->now);
  }
  node->pending.push_back(std::move(write));
  return code;
}

int FaultDisk::Sync(const std::shared_ptr<Node>& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++syncs_;
  const bool now = syncs_ == at_;
  if (now && fault_ == Fault::kPowerLossBeforeSync) {
    fired_ = dead_ = true;
    return SQLITE_IOERR_FSYNC;
  }
  if (now && fault_ == Fault::kSyncError) {
    fired_ = true;
    node->pending.clear();
    return SQLITE_IOERR_FSYNC;
  }
  for (const Write& write : node->pending) {
    if (write.truncate) {
      node->disk.resize(static_cast<size_t>(write.offset), '\0');
    } else {
      Apply(write.offset, write.bytes, &node->disk);
    }
  }
  node->pending.clear();
  if (!node->synced) durable_names_ = names_;  // with a new file SQLite syncs the directory, too
  node->synced = true;
  if (now && fault_ == Fault::kPowerLossAfterSync) {
    fired_ = dead_ = true;
    return SQLITE_IOERR_FSYNC;
  }
  return SQLITE_OK;
}

int FaultDisk::Get(const Node& node, void* to, int bytes, int64_t offset) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto begin = std::min(static_cast<size_t>(offset), node.now.size());
  const size_t n = std::min(static_cast<size_t>(bytes), node.now.size() - begin);
  std::memcpy(to, node.now.data() + begin, n);
  if (n == static_cast<size_t>(bytes)) return SQLITE_OK;
  std::memset(static_cast<char*>(to) + n, 0, static_cast<size_t>(bytes) - n);
  return SQLITE_IOERR_SHORT_READ;
}

int64_t FaultDisk::Size(const Node& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(node.now.size());
}

}  // namespace qsweep::storage
