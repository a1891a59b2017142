// How far a sweep has come, put together from its updates. Time is the caller's monotonic clock.
#ifndef QSWEEP_QCTL_PROGRESS_H_
#define QSWEEP_QCTL_PROGRESS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::qctl {

class SweepProgress {
 public:
  void Apply(const v1::SweepUpdate& update, absl::Duration now);
  // The pending runs (or the first page of them): why they wait.
  void SetPending(const v1::ListRunsReply& pending);

  const v1::Sweep& sweep() const { return sweep_; }
  // By id, so in the order of the sweep's cells.
  const std::map<int64_t, v1::Run>& running() const { return running_; }
  // The last few that ended, newest first.
  const std::deque<v1::Run>& ended() const { return ended_; }
  // Reason -> how many of the pending runs seen have it.
  const std::map<std::string, int>& waiting() const { return waiting_; }

  // Of all runs, 0..1; a running one counts by its steps.
  double Fraction() const;
  // Over all running runs.
  double ImagesPerSecond() const;
  // From the pace of the last quarter of an hour; nullopt until there is one.
  std::optional<absl::Duration> TimeLeft(absl::Duration now) const;

 private:
  double WorkDone() const;  // in runs

  v1::Sweep sweep_;
  std::map<int64_t, v1::Run> running_;
  std::deque<v1::Run> ended_;
  std::map<std::string, int> waiting_;
  std::deque<std::pair<absl::Duration, double>> pace_;  // when, how much was done
};

// What a run says of itself when its state has changed: "running on host, attempt 2".
std::string DescribeRun(const v1::Run& run);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_PROGRESS_H_
