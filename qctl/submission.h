// From a sweep file to a sweep that the scheduler has.
#ifndef QSWEEP_QCTL_SUBMISSION_H_
#define QSWEEP_QCTL_SUBMISSION_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/spec/sweep_file.h"
#include "qctl/client.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::qctl {

// LoadSweepFile; whatever is wrong with the file, reading it included, is InvalidArgument.
absl::StatusOr<SweepPlan> LoadPlan(const std::string& path);
// The request for a plan, without an id; of its cells the first `max_cells`, 0 meaning all.
v1::SubmitSweepRequest RequestOf(SweepPlan plan, int max_cells = 0);
// The same for a sweep file.
absl::StatusOr<v1::SubmitSweepRequest> LoadSubmission(const std::string& path, int max_cells = 0);

// An id that is the same for the same content, so that submitting it again finds the sweep it made.
// The runs whose weights the cells start from are part of it, by their keys: another base, another
// sweep.
absl::StatusOr<std::string> ContentRequestId(Client& client, const v1::SubmitSweepRequest& request);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_SUBMISSION_H_
