// Which content the artifact store holds and who needs it. The files themselves are
// scheduler/artifact_store.h's. Content lives as long as something refers to it.
#ifndef QSWEEP_STORAGE_ARTIFACTS_H_
#define QSWEEP_STORAGE_ARTIFACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct ArtifactRow {
  std::string sha256;
  int64_t bytes = 0;
  bool lost = false;  // its file is damaged or gone
};

enum class ArtifactRole {
  kUpload,      // sent by an attempt that has not yet said what it is
  kCheckpoint,  // the two newest of a run that may go on
  kProduct,     // named in the result
};

// Fine if it is there; if it was lost, it is back.
absl::Status InsertArtifact(Transaction& transaction, const ArtifactRow& row);
// Not those that are lost.
absl::StatusOr<std::optional<ArtifactRow>> ReadArtifact(Database& database,
                                                        const std::string& sha256);

// One reference for each (run, role, name); a second takes its place. The content must be there.
// A checkpoint or product takes the place of the upload it came by, too (whose name is its hash),
// and a checkpoint that of later ones: they could not be read, or the run would have gone on there.
absl::Status PutArtifactRef(Transaction& transaction, RunId run, ArtifactRole role,
                            const std::string& name, int64_t step, const std::string& sha256);

// Drops the run's references of one role, but for the `keep` with the highest steps. Returns the
// hashes of what nothing refers to any more: forgotten here, their files may go after the commit.
absl::StatusOr<std::vector<std::string>> DropArtifactRefs(Transaction& transaction, RunId run,
                                                          ArtifactRole role, int64_t keep);
absl::StatusOr<std::vector<ArtifactRow>> ListArtifacts(Database& database);
// The file is gone or damaged: forgets it and all references to it, unless it is a product; then it
// is kept as lost, and named by its results only.
absl::Status LoseArtifact(Transaction& transaction, const std::string& sha256);
// Whatever nothing refers to, of all there is.
absl::Status ForgetUnreferencedArtifacts(Transaction& transaction);

struct Checkpoint {
  int64_t step = 0;
  ArtifactRow content;
};
// The newest of those up to step `last`.
absl::StatusOr<std::optional<Checkpoint>> ReadCheckpoint(Database& database, RunId run,
                                                         int64_t last = INT64_MAX);
// The newest one's step, of every run that has one, by run.
absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ListCheckpointSteps(Database& database);
// The runs of which it is one, and of which step.
absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ListRunsWithCheckpoint(
    Database& database, const std::string& sha256);
// Not one that is lost.
absl::StatusOr<std::optional<ArtifactRow>> ReadProduct(Database& database, RunId run,
                                                       const std::string& name);
// The runs with a result of their own that have lost a product, and its name.
absl::StatusOr<std::vector<std::pair<RunId, std::string>>> ListLostProducts(Database& database);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_ARTIFACTS_H_
