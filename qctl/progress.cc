#include "qctl/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/state_names.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

constexpr size_t kEndedKept = 5;
constexpr absl::Duration kPaceWindow = absl::Minutes(15);
constexpr absl::Duration kPaceInterval = absl::Seconds(1);
constexpr absl::Duration kLeastPace = absl::Seconds(5);  // shorter says nothing

}  // namespace

void SweepProgress::Apply(const v1::SweepUpdate& update, absl::Duration now) {
  sweep_ = update.sweep();
  if (sweep_.pending() == 0) waiting_.clear();
  for (const v1::Run& run : update.changed()) {
    running_.erase(run.id());
    if (run.state() == v1::RUN_STATE_RUNNING) running_[run.id()] = run;
    std::erase_if(ended_, [&](const v1::Run& other) { return other.id() == run.id(); });
    if (HasEnded(run.state())) ended_.push_front(run);
  }
  std::stable_sort(ended_.begin(), ended_.end(), [](const v1::Run& a, const v1::Run& b) {
    return a.ended_unix_us() > b.ended_unix_us();
  });
  if (ended_.size() > kEndedKept) ended_.resize(kEndedKept);
  if (pace_.empty() || now - pace_.back().first >= kPaceInterval)
    pace_.emplace_back(now, WorkDone());
  while (now - pace_.front().first > kPaceWindow) pace_.pop_front();
}

void SweepProgress::SetPending(const v1::ListRunsReply& pending) {
  waiting_.clear();
  for (const v1::Run& run : pending.runs()) {
    if (!run.waiting().empty()) ++waiting_[run.waiting()];
  }
}

double SweepProgress::WorkDone() const {
  double done = EndedRuns(sweep_);
  for (const auto& [id, run] : running_) {
    if (run.total_steps() > 0) {
      done +=
          std::min(1.0, static_cast<double>(run.step()) / static_cast<double>(run.total_steps()));
    }
  }
  return done;
}

double SweepProgress::Fraction() const {
  const int total = TotalRuns(sweep_);
  return total == 0 ? 0 : WorkDone() / total;
}

double SweepProgress::ImagesPerSecond() const {
  double sum = 0;
  for (const auto& [id, run] : running_) sum += run.images_per_s();
  return sum;
}

std::optional<absl::Duration> SweepProgress::TimeLeft(absl::Duration now) const {
  if (pace_.empty() || now - pace_.front().first < kLeastPace) return std::nullopt;
  const double done = WorkDone(), gained = done - pace_.front().second;
  if (gained <= 0) return std::nullopt;
  return (now - pace_.front().first) * ((TotalRuns(sweep_) - done) / gained);
}

std::string DescribeRun(const v1::Run& run) {
  switch (run.state()) {
    case v1::RUN_STATE_RUNNING:
      return absl::StrCat("running on ", run.worker(),
                          run.attempt() > 1 ? absl::StrCat(", attempt ", run.attempt()) : "");
    case v1::RUN_STATE_SUCCEEDED:
      return absl::StrCat(
          "succeeded",
          run.has_best() ? absl::StrCat(": top-1 ", FormatPercent(run.best().top1(), 2)) : "",
          run.reused_run_id() != 0 ? " (reused)" : "");
    case v1::RUN_STATE_FAILED:
      return absl::StrCat("failed: ", run.error());
    case v1::RUN_STATE_PENDING:
      return run.waiting().empty() ? "waiting" : absl::StrCat("waiting: ", run.waiting());
    default:
      return StateName(run.state());
  }
}

}  // namespace qsweep::qctl
