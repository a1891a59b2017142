// What an attempt reports, as rows and as news for the core.
#ifndef QSWEEP_SCHEDULER_EVENTS_H_
#define QSWEEP_SCHEDULER_EVENTS_H_

#include <string>
#include <vector>

#include "qsweep/v1/worker.pb.h"
#include "scheduler/core/state.h"
#include "scheduler/rounds.h"
#include "storage/results.h"

namespace qsweep {

// Stores a batch and acknowledges it, in order and once: a batch that does not begin where the
// stored ones end is answered with where they end. An attempt that is not live is refused.
// `results` are those of the batch's finished events, in order.
void TakeEvents(Turn& turn, core::SessionNumber session, const v1::EventBatch& batch,
                const std::vector<storage::StoredResult>& results);

// FailedPrecondition if the attempt is not live; PermissionDenied if it is not the worker's (empty:
// any worker's).
absl::Status CheckUploader(Turn& turn, const AttemptId& attempt, const WorkerId& worker);
// Puts the content in the store, on behalf of an attempt, which is checked again. Returns whether
// it was new.
absl::StatusOr<bool> TakeArtifact(Turn& turn, const AttemptId& attempt, const WorkerId& worker,
                                  IncomingArtifact& artifact);

// Its file cannot be read now: runs that were to go on from it do so from an older checkpoint. It
// is not forgotten, for a disk or a file server may come back.
absl::Status SkipCheckpoint(Turn& turn, const std::string& sha256);
// Its file is not there, or holds something else and is put aside. A checkpoint is forgotten; the
// run of a product can be retried, and a start finds the file if it was put back.
absl::Status LoseArtifact(Turn& turn, const std::string& sha256);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_EVENTS_H_
