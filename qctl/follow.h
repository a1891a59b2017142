// Follows a sweep to its end, whatever happens to the scheduler meanwhile.
#ifndef QSWEEP_QCTL_FOLLOW_H_
#define QSWEEP_QCTL_FOLLOW_H_

#include <string>

#include "absl/status/statusor.h"
#include "qctl/connection.h"
#include "qctl/sweep_view.h"

namespace qsweep::qctl {

// The sweep as it ended. An embedded set-up is kept running; one that has its own worker can come
// to a standstill, when none of the runs that are left could ever run there: the sweep as it stands
// then. A scheduler elsewhere that cannot be reached is waited for, for ever. Ctrl-C:
// InterruptedError.
absl::StatusOr<v1::Sweep> FollowSweep(Connection& connection, const std::string& sweep,
                                      SweepView& view);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_FOLLOW_H_
