#include "scheduler/artifact_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/clock.h"
#include "common/log.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr char kIncoming[] = "incoming";
constexpr char kOrphans[] = "orphans";
constexpr int64_t kOrphanSeconds = 30 * 86'400;

// Not the sender's, who tries again.
absl::Status OurFault(const absl::Status& status) {
  if (status.ok() || absl::IsResourceExhausted(status)) return status;
  return absl::UnavailableError(status.message());
}

void RemoveOld(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return;
  if (SystemClock().UnixMicros() / 1'000'000 - info.st_mtime > kOrphanSeconds) {
    ::unlink(path.c_str());
  }
}

}  // namespace

IncomingArtifact::~IncomingArtifact() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

absl::Status IncomingArtifact::Reserve() {
  if (bytes_ == 0 || ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, bytes_) == 0 ||
      errno == EOPNOTSUPP) {
    return absl::OkStatus();
  }
  return OurFault(ErrnoStatus(errno, path_, "reserve"));
}

absl::Status IncomingArtifact::Append(absl::string_view bytes) {
  received_ += static_cast<int64_t>(bytes.size());
  if (received_ > bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("artifact ", sha256_, ": more than the ", bytes_, " bytes announced"));
  }
  hash_.Update(bytes);
  return OurFault(WriteAll(fd_.get(), bytes, path_));
}

absl::Status IncomingArtifact::Finish() {
  if (received_ != bytes_) {
    return absl::InvalidArgumentError(absl::StrCat("artifact ", sha256_, ": ", received_,
                                                   " bytes came, ", bytes_, " were announced"));
  }
  if (const std::string actual = hash_.Hex(); actual != sha256_) {
    return absl::InvalidArgumentError(
        absl::StrCat("artifact ", sha256_, ": the content that came has the hash ", actual));
  }
  if (::fsync(fd_.get()) != 0) return OurFault(ErrnoStatus(errno, path_, "fsync"));
  fd_.Close();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ArtifactStore>> ArtifactStore::Create(const std::string& directory) {
  std::unique_ptr<ArtifactStore> store(new ArtifactStore(directory));
  RETURN_IF_ERROR(RemoveTree(JoinPath(directory, kIncoming)));
  RETURN_IF_ERROR(MakeDirectories(JoinPath(directory, kIncoming)));
  return store;
}

std::string ArtifactStore::Shelf(const std::string& sha256) const {
  return JoinPath(directory_, sha256.substr(0, 2));
}

std::string ArtifactStore::Path(const std::string& sha256) const {
  return JoinPath(Shelf(sha256), sha256.substr(2));
}

std::string ArtifactStore::Aside(const std::string& sha256) const {
  return JoinPath(JoinPath(directory_, kOrphans), sha256);
}

absl::StatusOr<std::unique_ptr<IncomingArtifact>> ArtifactStore::Begin(const std::string& sha256,
                                                                       int64_t bytes) {
  QSWEEP_CHECK(IsSha256Hex(sha256));
  if (bytes < 0 || bytes > kMaxArtifactBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("artifact ", sha256, ": ", bytes, " bytes; the limit is ", kMaxArtifactBytes));
  }
  std::unique_ptr<IncomingArtifact> artifact(new IncomingArtifact);
  std::string path = JoinPath(JoinPath(directory_, kIncoming), sha256 + ".XXXXXX");
  artifact->fd_ = FileDescriptor(::mkostemp(path.data(), O_CLOEXEC));
  if (!artifact->fd_.valid()) return OurFault(ErrnoStatus(errno, path, "create"));
  artifact->path_ = std::move(path);
  artifact->sha256_ = sha256;
  artifact->bytes_ = bytes;
  return artifact;
}

absl::StatusOr<FileDescriptor> ArtifactStore::Open(const std::string& sha256) const {
  QSWEEP_CHECK(IsSha256Hex(sha256));
  FileDescriptor fd(::open(Path(sha256).c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.valid()) return fd;
  const int error = errno;
  if (error == ENOENT && PathExists(JoinPath(directory_, kIncoming))) {
    return absl::NotFoundError(absl::StrCat("no artifact ", sha256));
  }
  return OurFault(ErrnoStatus(error, Path(sha256), "open"));
}

absl::Status ArtifactStore::Place(const std::string& file, const std::string& sha256) {
  const std::string shelf = Shelf(sha256);
  if (!PathExists(shelf)) {
    RETURN_IF_ERROR(MakeDirectories(shelf));
    RETURN_IF_ERROR(SyncDirectory(directory_));
  }
  return Rename(file, Path(sha256));
}

absl::Status ArtifactStore::Keep(IncomingArtifact& artifact) {
  QSWEEP_CHECK(!artifact.fd_.valid());
  RETURN_IF_ERROR(OurFault(Place(artifact.path_, artifact.sha256_)));
  artifact.path_.clear();
  return absl::OkStatus();
}

absl::Status ArtifactStore::Remove(const std::string& sha256) {
  const std::string path = Path(sha256);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path, "remove");
  return absl::OkStatus();
}

absl::Status ArtifactStore::SetAside(const std::string& sha256, const std::string& place) {
  RETURN_IF_ERROR(MakeDirectories(JoinPath(directory_, kOrphans)));
  RETURN_IF_ERROR(Rename(Path(sha256), place));
  ::utimensat(AT_FDCWD, place.c_str(), nullptr, 0);  // the month begins now
  return absl::OkStatus();
}

absl::Status ArtifactStore::SetDamagedAside(const std::string& sha256) {
  const absl::Status status = SetAside(sha256, absl::StrCat(Aside(sha256), ".damaged"));
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::StatusOr<bool> ArtifactStore::TakeBack(const std::string& sha256) {
  if (!PathExists(Aside(sha256))) return false;
  RETURN_IF_ERROR(Place(Aside(sha256), sha256));
  return true;
}

absl::Status ArtifactStore::SetOrphansAside(
    const std::function<absl::StatusOr<bool>(const std::string&)>& wanted) {
  const std::string orphans = JoinPath(directory_, kOrphans);
  RETURN_IF_ERROR(MakeDirectories(orphans));
  ASSIGN_OR_RETURN(const std::vector<std::string> former, ListDirectory(orphans));
  for (const std::string& name : former) RemoveOld(JoinPath(orphans, name));
  ASSIGN_OR_RETURN(const std::vector<std::string> shelves, ListDirectory(directory_));
  for (const std::string& shelf : shelves) {
    if (shelf.size() != 2) continue;
    ASSIGN_OR_RETURN(const std::vector<std::string> names,
                     ListDirectory(JoinPath(directory_, shelf)));
    for (const std::string& name : names) {
      const std::string sha256 = shelf + name;
      if (!IsSha256Hex(sha256)) continue;  // not ours
      ASSIGN_OR_RETURN(const bool keep, wanted(sha256));
      if (keep) continue;
      LogWarning(absl::StrCat("artifact ", sha256,
                              ": nothing in the database refers to it; put into ", orphans,
                              " for a month"));
      RETURN_IF_ERROR(SetAside(sha256, Aside(sha256)));
    }
  }
  return absl::OkStatus();
}

}  // namespace qsweep
