#include "qctl/follow.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status.h"
#include "qctl/format.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr absl::Duration kPendingInterval = absl::Seconds(2);
constexpr int kPendingPage = 100;  // the view shows a few reasons only
constexpr int kLooks = 3;          // that find a standstill, before it is believed

class Follower {
 public:
  Follower(Connection& connection, std::string sweep, SweepView& view)
      : connection_(connection), sweep_(std::move(sweep)), view_(view) {}

  // Until the sweep ends or is at a standstill, or the stream breaks.
  absl::Status Follow() {
    SweepWatch watch(connection_.client(), sweep_);
    while (true) {
      v1::SweepUpdate update;
      ASSIGN_OR_RETURN(const SweepWatch::Event event, watch.Next(kTick, &update));
      const absl::Duration now = SystemClock().Monotonic();
      if (event == SweepWatch::Event::kEnd) return absl::OkStatus();
      if (event == SweepWatch::Event::kUpdate) {
        last_ = update.sweep();
        view_.Update(update, now);
      }
      if (connection_.embedded() != nullptr) RETURN_IF_ERROR(connection_.embedded()->KeepRunning());
      RefreshPending(now);
      view_.Tick("", now);
      if (stands_still()) return absl::OkStatus();
    }
  }

  const v1::Sweep& last() const { return last_; }
  bool ended() const { return last_.id() != 0 && EndedRuns(last_) == TotalRuns(last_); }
  bool stands_still() const { return standstills_ >= kLooks; }

 private:
  void RefreshPending(absl::Duration now) {
    if (last_.pending() == 0 || now - pending_at_ < kPendingInterval) return;
    pending_at_ = now;
    v1::ListRunsRequest request;
    request.set_sweep(sweep_);
    request.add_states(v1::RUN_STATE_PENDING);
    request.set_page_size(kPendingPage);
    const auto pending = connection_.client().ListRunsPage(request);
    if (!pending.ok()) return;  // the stream breaks too, and says why
    view_.SetPending(*pending);
    LookForStandstill();
  }

  // A worker that comes changes no run, so the stream does not tell.
  void LookForStandstill() {
    if (connection_.embedded() == nullptr || !connection_.embedded()->uses_worker()) return;
    const auto sweep = connection_.client().GetSweep(sweep_);
    if (!sweep.ok()) return;
    const bool still = sweep->running() == 0 && sweep->unplaceable() == sweep->pending();
    standstills_ = still ? standstills_ + 1 : 0;
    if (stands_still()) last_ = *sweep;
  }

  Connection& connection_;
  const std::string sweep_;
  SweepView& view_;
  v1::Sweep last_;
  absl::Duration pending_at_;
  int standstills_ = 0;  // found in a row
};

}  // namespace

absl::StatusOr<v1::Sweep> FollowSweep(Connection& connection, const std::string& sweep,
                                      SweepView& view) {
  Follower follower(connection, sweep, view);
  while (true) {
    const absl::Status status = follower.Follow();
    if (Interrupts() > 0) return InterruptedError();
    if (status.ok() && (follower.ended() || follower.stands_still())) {
      view.Tick("", SystemClock().Monotonic());
      return follower.last();
    }
    // A scheduler that shuts down cancels its streams, or ends them early.
    if (!status.ok() && !IsUnreachable(status) && !absl::IsCancelled(status)) return status;
    view.Tick("the scheduler is away; trying again", SystemClock().Monotonic());
    RETURN_IF_ERROR(connection.Restore());
  }
}

}  // namespace qsweep::qctl
