#include "common/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status.h"

namespace qsweep {
namespace fs = std::filesystem;

absl::Status ErrnoStatus(int error, const std::string& path, absl::string_view what) {
  const std::string message = absl::StrCat(path, ": ", what, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = other.Release();
  }
  return *this;
}

int FileDescriptor::Release() { return std::exchange(fd_, -1); }

void FileDescriptor::Close() {
  if (fd_ >= 0) ::close(Release());
}

namespace {

absl::Status NotRegular(const std::string& path) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
}

absl::StatusOr<std::string> ReadAll(const FileDescriptor& fd, const std::string& path,
                                    int64_t max_bytes) {
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path, "read");
    if (n == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(n));
    if (static_cast<int64_t>(bytes.size()) > max_bytes) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": larger than the limit of ", max_bytes, " bytes"));
    }
  }
}

// Where what is written to the path comes to lie: links are followed, to a file that is not there
// yet, too.
absl::StatusOr<std::string> FollowLinks(fs::path path) {
  for (int links = 0; links < 40; ++links) {  // as many as the kernel follows
    struct stat info;
    // What else may be wrong shows when the file is made.
    if (::lstat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode)) return path.string();
    if (!S_ISLNK(info.st_mode)) return NotRegular(path.string());
    std::error_code error;
    const fs::path to = fs::read_symlink(path, error);
    if (error) return ErrnoStatus(error.value(), path.string(), "read link");
    path = path.parent_path() / to;
  }
  return ErrnoStatus(ELOOP, path.string(), "open");
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path, "open");
  return ReadAll(fd, path, max_bytes);
}

absl::StatusOr<std::string> ReadRegularFile(const std::string& path, int64_t max_bytes) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, path, "open");
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, path, "stat");
  if (!S_ISREG(info.st_mode)) return NotRegular(path);
  return ReadAll(fd, path, max_bytes);
}

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path, "write");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status SyncDirectory(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path, "open");
  if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, path, "fsync");
  return absl::OkStatus();
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return ErrnoStatus(errno, to, "rename");
  const std::string parent = fs::path(to).parent_path().string();
  return SyncDirectory(parent.empty() ? "." : parent);
}

AtomicFile::AtomicFile(std::string path)
    : path_(std::move(path)), temporary_(absl::StrCat(path_, ".tmp.", ::getpid())) {}

AtomicFile::~AtomicFile() {
  if (fd_.valid()) ::unlink(temporary_.c_str());
}

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path, mode_t mode) {
  ASSIGN_OR_RETURN(std::string target, FollowLinks(path));
  AtomicFile file(std::move(target));
  const char* name = file.temporary_.c_str();
  ::unlink(name);  // of a process with our number that died: it may have another mode
  file.fd_ = FileDescriptor(::open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file.fd_.valid()) return ErrnoStatus(errno, file.temporary_, "create");
  return file;
}

absl::Status AtomicFile::Append(absl::string_view bytes) {
  return WriteAll(fd_.get(), bytes, temporary_);
}

absl::Status AtomicFile::Commit() {
  if (::fsync(fd_.get()) != 0) return ErrnoStatus(errno, temporary_, "fsync");
  RETURN_IF_ERROR(Rename(temporary_, path_));
  fd_.Close();
  return absl::OkStatus();
}

namespace {

absl::Status WriteAtomic(const std::string& path, const std::vector<absl::string_view>& pieces,
                         mode_t mode) {
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, mode));
  for (absl::string_view piece : pieces) RETURN_IF_ERROR(file.Append(piece));
  return file.Commit();
}

}  // namespace

absl::Status WriteFileAtomic(const std::string& path, absl::string_view bytes) {
  return WriteFileAtomic(path, std::vector<absl::string_view>{bytes});
}

absl::Status WriteFileAtomic(const std::string& path,
                             const std::vector<absl::string_view>& pieces) {
  return WriteAtomic(path, pieces, 0644);
}

absl::Status WritePrivateFile(const std::string& path, absl::string_view bytes) {
  return WriteAtomic(path, {bytes}, 0600);
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return ErrnoStatus(error.value(), path, "create directory");
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  // An entry that somebody else removes meanwhile (a server its socket) ends remove_all.
  do {
    fs::remove_all(path, error);
  } while (error == std::errc::no_such_file_or_directory);
  if (error) return ErrnoStatus(error.value(), path, "remove");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) return ErrnoStatus(error.value(), path, "list");
  std::sort(names.begin(), names.end());
  return names;
}

bool PathExists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

absl::StatusOr<int64_t> FileSize(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path, "stat");
  return static_cast<int64_t>(info.st_size);
}

std::string JoinPath(absl::string_view a, absl::string_view b) {
  if (a.empty() || absl::StartsWith(b, "/")) return std::string(b);
  return absl::StrCat(absl::StripSuffix(a, "/"), "/", b);
}

absl::StatusOr<int64_t> FreeDiskBytes(const std::string& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) != 0) return ErrnoStatus(errno, path, "statvfs");
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

absl::StatusOr<FileSystem> FileSystemOf(const std::string& path) {
  // The magic numbers of statfs(2) and linux/magic.h.
  static constexpr struct {
    int64_t magic;
    const char* type;
    bool network;
  } kKnown[] = {
      {0xEF53, "ext4", false},      {0x58465342, "xfs", false},   {0x9123683E, "btrfs", false},
      {0x2FC12FC1, "zfs", false},   {0x01021994, "tmpfs", false}, {0x794C7630, "overlayfs", false},
      {0xF2F52010, "f2fs", false},  {0x6969, "nfs", true},        {0xFF534D42, "cifs", true},
      {0xFE534D42, "smb2", true},   {0x65735546, "fuse", true},   {0x01021997, "9p", true},
      {0x00C36400, "ceph", true},   {0x0BD00BD0, "lustre", true}, {0x5346414F, "afs", true},
      {0x19830326, "beegfs", true}, {0x47504653, "gpfs", true},
  };
  struct statfs info;
  if (::statfs(path.c_str(), &info) != 0) return ErrnoStatus(errno, path, "statfs");
  const auto magic = static_cast<int64_t>(static_cast<uint32_t>(info.f_type));
  for (const auto& known : kKnown) {
    if (known.magic == magic) return FileSystem{known.type, known.network};
  }
  return FileSystem{absl::StrCat("0x", absl::Hex(magic)), false};
}

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, path, "open");
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path, "flock");
    return absl::UnavailableError(absl::StrCat(path, ": held by process ", Holder(path)));
  }
  if (::ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, path, "truncate");
  RETURN_IF_ERROR(WriteAll(fd.get(), absl::StrCat(::getpid(), "\n"), path));
  return FileLock(std::move(fd));
}

bool FileLock::IsHeld(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // What cannot be looked at may well be held.
  if (!fd.valid()) return errno != ENOENT && errno != ENOTDIR;
  return ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

pid_t FileLock::Holder(const std::string& path) {
  const auto text = ReadFile(path, 64);
  pid_t pid = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &pid)) return 0;
  return pid;
}

}  // namespace qsweep
