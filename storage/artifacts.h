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
};

enum class ArtifactRole {
  kUpload,      // sent by an attempt that has not yet said what it is
  kCheckpoint,  // the two newest of a run that may go on
  kProduct,     // named in the result
};

absl::Status InsertArtifact(Transaction& transaction, const ArtifactRow& row);  // fine if there
absl::StatusOr<std::optional<ArtifactRow>> ReadArtifact(Database& database,
                                                        const std::string& sha256);

// One reference for each (run, role, name); a second takes its place. The content must be there.
// A checkpoint or product takes the place of the upload it came by, too (whose name is its hash).
absl::Status PutArtifactRef(Transaction& transaction, RunId run, ArtifactRole role,
                            const std::string& name, int64_t step, const std::string& sha256);

// Drops the run's references of one role, but for the `keep` with the highest steps. Returns the
// hashes of what nothing refers to any more: forgotten here, their files may go after the commit.
absl::StatusOr<std::vector<std::string>> DropArtifactRefs(Transaction& transaction, RunId run,
                                                          ArtifactRole role, int64_t keep);
absl::StatusOr<std::vector<std::string>> ListArtifacts(Database& database);
// The file is gone or damaged: forgets it and all references to it.
absl::Status ForgetLostArtifact(Transaction& transaction, const std::string& sha256);
// Whatever nothing refers to, of all there is.
absl::Status ForgetUnreferencedArtifacts(Transaction& transaction);

struct Checkpoint {
  int64_t step = 0;
  ArtifactRow content;
};
// The newest.
absl::StatusOr<std::optional<Checkpoint>> ReadCheckpoint(Database& database, RunId run);
// The newest one's step, of every run that has one, by run.
absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ListCheckpointSteps(Database& database);
// The runs of which it is one.
absl::StatusOr<std::vector<RunId>> ListRunsWithCheckpoint(Database& database,
                                                          const std::string& sha256);
absl::StatusOr<std::optional<ArtifactRow>> ReadProduct(Database& database, RunId run,
                                                       const std::string& name);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_ARTIFACTS_H_
