#ifndef QSWEEP_SCHEDULER_RECOVERY_H_
#define QSWEEP_SCHEDULER_RECOVERY_H_

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "scheduler/artifact_store.h"
#include "scheduler/core/state.h"
#include "storage/database.h"

namespace qsweep {

// The state as of the last commit, however the process before this one ended, ready for
// core::StartAfterRecovery. Artifact files without a row are put aside first, and rows without a
// file forgotten, or kept as lost if a result names them; FailedPrecondition if most have none,
// unless these, too, are to be forgotten.
absl::StatusOr<core::State> Recover(storage::Database& database, ArtifactStore& artifacts,
                                    const Clock& clock, const core::Policy& policy,
                                    bool forget_lost_artifacts = false);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_RECOVERY_H_
