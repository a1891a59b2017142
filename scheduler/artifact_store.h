// Checkpoints and products as files, named by the SHA-256 of their content:
// DATA/artifacts/ab/cdef... Which of them there ought to be is the database's
// (storage/artifacts.h); at the start a file without a row goes aside, to DATA/artifacts/orphans/.
#ifndef QSWEEP_SCHEDULER_ARTIFACT_STORE_H_
#define QSWEEP_SCHEDULER_ARTIFACT_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file.h"
#include "common/hash.h"

namespace qsweep {

// deit_base in full with its optimizer state is 1.4 GB.
inline constexpr int64_t kMaxArtifactBytes = int64_t{16} << 30;

// Content on its way in: a temporary file, gone with this object unless it is kept. Any one thread.
// What the scheduler's own files fail with is Unavailable, or ResourceExhausted where room is
// missing.
class IncomingArtifact {
 public:
  ~IncomingArtifact();
  // Takes the room on the disk for all of it, where the file system knows how.
  absl::Status Reserve();
  // InvalidArgument as soon as there is more than was announced.
  absl::Status Append(absl::string_view bytes);
  // InvalidArgument unless size and hash are as announced; on disk when it returns OK.
  absl::Status Finish();
  const std::string& sha256() const { return sha256_; }
  int64_t bytes() const { return bytes_; }

 private:
  friend class ArtifactStore;
  IncomingArtifact() = default;

  FileDescriptor fd_;
  std::string path_;
  std::string sha256_;
  int64_t bytes_ = 0;
  int64_t received_ = 0;
  Sha256 hash_;
};

// Begin and Open may be called by any thread; the rest by the loop's alone, so that files and rows
// change in the same order.
class ArtifactStore {
 public:
  // Makes the directory. Removes temporary files that an earlier process left.
  static absl::StatusOr<std::unique_ptr<ArtifactStore>> Create(const std::string& directory);

  // `sha256` must be one (IsSha256Hex). InvalidArgument above kMaxArtifactBytes.
  absl::StatusOr<std::unique_ptr<IncomingArtifact>> Begin(const std::string& sha256, int64_t bytes);
  // NotFound if it is not there, Unavailable if the store itself is not, or not to be read. What is
  // open can be read to its end though it be removed.
  absl::StatusOr<FileDescriptor> Open(const std::string& sha256) const;

  // `artifact` must be finished. Its file has its name, durably, when this returns OK.
  absl::Status Keep(IncomingArtifact& artifact);
  // Fine if it is not there.
  absl::Status Remove(const std::string& sha256);
  // Puts aside the files that `wanted` does not want. They may well be wanted by the database that
  // ought to be there, so they are removed by a start a month later.
  absl::Status SetOrphansAside(
      const std::function<absl::StatusOr<bool>(const std::string&)>& wanted);
  // Puts aside what has its name and is something else; it is not taken back. Fine if it is not
  // there.
  absl::Status SetDamagedAside(const std::string& sha256);
  // Whether it was aside, and is in its place again.
  absl::StatusOr<bool> TakeBack(const std::string& sha256);

  const std::string& directory() const { return directory_; }

 private:
  explicit ArtifactStore(std::string directory) : directory_(std::move(directory)) {}
  std::string Shelf(const std::string& sha256) const;  // the directory its file is in
  std::string Path(const std::string& sha256) const;
  std::string Aside(const std::string& sha256) const;  // its path among the orphans
  absl::Status Place(const std::string& file, const std::string& sha256);
  absl::Status SetAside(const std::string& sha256, const std::string& place);

  const std::string directory_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_ARTIFACT_STORE_H_
