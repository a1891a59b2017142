#ifndef QSWEEP_SCHEDULER_RECOVERY_H_
#define QSWEEP_SCHEDULER_RECOVERY_H_

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "scheduler/artifact_store.h"
#include "scheduler/core/state.h"
#include "storage/database.h"

namespace qsweep {

// The state as of the last commit, however the process before this one ended, ready for
// core::Resume. Artifact files without a row and rows without a file are removed first.
absl::StatusOr<core::State> Recover(storage::Database& database, ArtifactStore& artifacts,
                                    const Clock& clock, const core::Policy& policy);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_RECOVERY_H_
