// How a sweep is watched: a live block on a terminal, plain lines elsewhere, or JSON lines.
#ifndef QSWEEP_QCTL_SWEEP_VIEW_H_
#define QSWEEP_QCTL_SWEEP_VIEW_H_

#include <cstdio>
#include <memory>
#include <string>

#include "absl/time/time.h"
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

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_SWEEP_VIEW_H_
