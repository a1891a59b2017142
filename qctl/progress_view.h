// A sweep's progress as text: pure functions of what is known, the time and the terminal.
#ifndef QSWEEP_QCTL_PROGRESS_VIEW_H_
#define QSWEEP_QCTL_PROGRESS_VIEW_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "qctl/progress.h"
#include "qctl/terminal.h"

namespace qsweep::qctl {

// The lines of the live block: none wider than size.columns (24 at least), at most size.rows - 1.
std::vector<std::string> RenderProgress(const SweepProgress& progress, const std::string& trouble,
                                        absl::Duration now, const Size& size, const Style& style);
// One of the reasons, of which a terminal would show a line each. Until they were asked for, what
// the sweep itself says; empty if nothing waits.
std::string WaitingReason(const SweepProgress& progress);
// "3/8 runs, 2 running, 134 img/s, 1 min 12 s left; waiting: every worker that fits is busy"
std::string ProgressLine(const SweepProgress& progress, absl::Duration now);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_PROGRESS_VIEW_H_
