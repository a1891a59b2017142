#include "scheduler/artifact_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

#include "common/log.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr char kIncoming[] = "incoming";

}  // namespace

IncomingArtifact::~IncomingArtifact() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

absl::Status IncomingArtifact::Append(absl::string_view bytes) {
  received_ += static_cast<int64_t>(bytes.size());
  if (received_ > bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("artifact ", sha256_, ": more than the ", bytes_, " bytes announced"));
  }
  hash_.Update(bytes);
  return WriteAll(fd_.get(), bytes, path_);
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
  if (::fsync(fd_.get()) != 0) return ErrnoStatus(errno, path_, "fsync");
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
  if (!artifact->fd_.valid()) return ErrnoStatus(errno, path, "create");
  artifact->path_ = std::move(path);
  artifact->sha256_ = sha256;
  artifact->bytes_ = bytes;
  return artifact;
}

absl::StatusOr<FileDescriptor> ArtifactStore::Open(const std::string& sha256) const {
  QSWEEP_CHECK(IsSha256Hex(sha256));
  FileDescriptor fd(::open(Path(sha256).c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.valid()) return fd;
  if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("no artifact ", sha256));
  return ErrnoStatus(errno, Path(sha256), "open");
}

absl::Status ArtifactStore::Keep(IncomingArtifact& artifact) {
  QSWEEP_CHECK(!artifact.fd_.valid());
  const std::string shelf = Shelf(artifact.sha256_);
  if (!PathExists(shelf)) {
    RETURN_IF_ERROR(MakeDirectories(shelf));
    RETURN_IF_ERROR(SyncDirectory(directory_));
  }
  const std::string path = Path(artifact.sha256_);
  if (::rename(artifact.path_.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, path, "rename");
  }
  artifact.path_.clear();
  return SyncDirectory(shelf);
}

absl::Status ArtifactStore::Remove(const std::string& sha256) {
  const std::string path = Path(sha256);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path, "remove");
  return absl::OkStatus();
}

absl::Status ArtifactStore::RemoveOrphans(
    const std::function<absl::StatusOr<bool>(const std::string&)>& wanted) {
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
      LogInfo(absl::StrCat("artifact ", sha256, ": nothing refers to it; removed"));
      RETURN_IF_ERROR(Remove(sha256));
    }
  }
  return absl::OkStatus();
}

}  // namespace qsweep
