// How a sweep is watched: a live block on a terminal, plain lines elsewhere, or JSON lines.
#ifndef QSWEEP_QCTL_SWEEP_VIEW_H_
#define QSWEEP_QCTL_SWEEP_VIEW_H_

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "qctl/progress.h"
#include "qctl/terminal.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::qctl {

class SweepView {
 public:
  virtual ~SweepView() = default;
  virtual void Update(const v1::SweepUpdate& update, absl::Duration now) = 0;
  virtual void SetPending(const v1::ListRunsReply& pending) = 0;
  // A few times a second. `trouble`: what keeps updates from coming, or empty.
  virtual void Tick(const std::string& trouble, absl::Duration now) = 0;
};

// The live block if `file` is a terminal that can show one, else plain lines.
std::unique_ptr<SweepView> MakeSweepView(std::FILE* file);
// Every update as one line of JSON on standard output.
std::unique_ptr<SweepView> MakeJsonView();

// The lines of the live block: none wider than size.columns (24 at least), at most size.rows - 1.
std::vector<std::string> RenderProgress(const SweepProgress& progress, const std::string& trouble,
                                        absl::Duration now, const Size& size, const Style& style);
// "3/8 runs, 2 running, 134 img/s, 1 min 12 s left"
std::string ProgressLine(const SweepProgress& progress, absl::Duration now);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_SWEEP_VIEW_H_
