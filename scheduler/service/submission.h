// A SubmitSweepRequest on its way to being a sweep.
#ifndef QSWEEP_SCHEDULER_SERVICE_SUBMISSION_H_
#define QSWEEP_SCHEDULER_SERVICE_SUBMISSION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "qsweep/v1/sweep.pb.h"
#include "scheduler/loop.h"
#include "storage/runs.h"

namespace qsweep {

struct SubmittedCell {
  std::string name;
  storage::SpecRow spec;
  int64_t images = 0;        // to train on, all epochs together
  int64_t stored_bytes = 0;  // of checkpoints and products, at most
};

// Checks everything and computes specs and keys; looks up the runs that model.weights = run:...
// names in turns of the loop. Long work for a large sweep, so not on the loop's thread. All
// problems in one InvalidArgument message, one a line.
absl::StatusOr<std::vector<SubmittedCell>> PrepareSubmission(Loop& loop,
                                                             const v1::SubmitSweepRequest& request);

// Whether this request id made this sweep before: then the reply tells of it, and no more of the
// request is looked at, not even whether it could be made now. AlreadyExists if it made another.
absl::StatusOr<bool> FindSubmission(Turn& turn, const v1::SubmitSweepRequest& request,
                                    v1::SubmitSweepReply* reply);
// Makes the sweep, or finds the one that this request id made before.
absl::Status StoreSubmission(Turn& turn, const v1::SubmitSweepRequest& request,
                             const std::vector<SubmittedCell>& cells, v1::SubmitSweepReply* reply);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_SUBMISSION_H_
