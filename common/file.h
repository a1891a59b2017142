// Files: whole reads with a limit, writes that are never torn, locks that die with their process.
#ifndef QSWEEP_COMMON_FILE_H_
#define QSWEEP_COMMON_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qsweep {

// The status of a failed system call: code from errno, "path: what: strerror". ENOSPC and EDQUOT
// are ResourceExhausted, ENOENT is NotFound, EACCES, EPERM and EROFS are PermissionDenied, all
// others Internal.
absl::Status ErrnoStatus(int error, const std::string& path, absl::string_view what);

// An open file descriptor, closed on destruction. Movable.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { Close(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release();
  void Close();

 private:
  int fd_ = -1;
};

// The whole file; FailedPrecondition if it is larger than max_bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes);
// The same of a regular file; InvalidArgument for what might keep its reader waiting, as a pipe.
absl::StatusOr<std::string> ReadRegularFile(const std::string& path, int64_t max_bytes);

// Writes all of `bytes`, retrying short writes.
absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path);

// A file written beside its place, PATH.tmp.PID, that takes it when it is whole: after a crash at
// any instant the path holds the old content or the new. Without Commit nothing stays. Movable.
class AtomicFile {
 public:
  // A link stays, and what it points to is replaced. InvalidArgument for a device, a pipe or a
  // directory, which is not to become a file.
  static absl::StatusOr<AtomicFile> Create(const std::string& path, mode_t mode = 0644);
  AtomicFile(AtomicFile&&) = default;
  ~AtomicFile();
  absl::Status Append(absl::string_view bytes);
  // fsync, rename, fsync of the directory. Once, at the end.
  absl::Status Commit();

 private:
  explicit AtomicFile(std::string path);
  std::string path_, temporary_;
  FileDescriptor fd_;  // valid while the temporary file is there
};

// The whole of such a file.
absl::Status WriteFileAtomic(const std::string& path, absl::string_view bytes);
// The same of pieces, one after the other.
absl::Status WriteFileAtomic(const std::string& path, const std::vector<absl::string_view>& pieces);
// The same, and only its owner can read it, at no moment anyone else.
absl::Status WritePrivateFile(const std::string& path, absl::string_view bytes);

// Replaces what is at `to`; durable when it returns OK.
absl::Status Rename(const std::string& from, const std::string& to);
absl::Status SyncDirectory(const std::string& path);

// With parents; fine if it is there.
absl::Status MakeDirectories(const std::string& path);
// Recursively; fine if it is not there, or others remove some of it meanwhile. Symbolic links are
// removed, not followed.
absl::Status RemoveTree(const std::string& path);
// Names, sorted, without . and ..
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);
bool PathExists(const std::string& path);
absl::StatusOr<int64_t> FileSize(const std::string& path);
// "a/b", whether or not a ends in a slash; b if b is absolute.
std::string JoinPath(absl::string_view a, absl::string_view b);
absl::StatusOr<int64_t> FreeDiskBytes(const std::string& path);

struct FileSystem {
  std::string type;      // as in ext4, nfs; the kernel's number in hexadecimal if we do not know it
  bool network = false;  // where locks and syncs are not to be trusted
};
// Of what is at the path.
absl::StatusOr<FileSystem> FileSystemOf(const std::string& path);

// A lock (flock) on a file, held until destruction or the end of the process. The file keeps the
// holder's pid as text, for messages.
class FileLock {
 public:
  // Unavailable, naming the holder's pid, when another process holds it.
  static absl::StatusOr<FileLock> Acquire(const std::string& path);
  // Whether some process holds the lock now, or one cannot know.
  static bool IsHeld(const std::string& path);
  // The pid the file names; 0 if none.
  static pid_t Holder(const std::string& path);
  // The lock belongs to the open file, so a child that inherits it holds it too; this lets it.
  int fd() const { return fd_.get(); }

 private:
  explicit FileLock(FileDescriptor fd) : fd_(std::move(fd)) {}
  FileDescriptor fd_;
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_FILE_H_
