#include "scheduler/loop.h"

#include <algorithm>
#include <chrono>
#include <future>

#include "common/log.h"
#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "scheduler/persistence.h"
#include "scheduler/views.h"
#include "storage/artifacts.h"

namespace qsweep {
namespace {

// So many requests at most share a commit: none waits long for the others.
constexpr size_t kMaxBatch = 1000;
constexpr absl::Duration kWatchInterval = absl::Milliseconds(250);

}  // namespace

Turn::Turn(Loop& loop, core::Effects& effects, storage::Transaction& transaction)
    : state(loop.state_),
      effects(effects),
      transaction(transaction),
      artifacts(loop.artifacts_),
      now(loop.clock_.Monotonic()),
      unix_us(loop.clock_.UnixMicros()),
      heartbeat_ms(loop.heartbeat_ms_),
      loop_(loop) {}

void Turn::AfterCommit(std::function<void()> then) { after_commit_.push_back(std::move(then)); }

void Turn::RemoveArtifacts(const std::vector<std::string>& sha256s) {
  for (const std::string& sha256 : sha256s) {
    AfterCommit([this, sha256] {
      const auto row = storage::ReadArtifact(database(), sha256);
      if (!row.ok() || row->has_value()) return;
      if (const absl::Status status = artifacts.Remove(sha256); !status.ok()) {
        LogWarning(status.message());  // the next start tries again
      }
    });
  }
}

void Turn::AddSession(core::SessionNumber number, std::shared_ptr<Outbox> outbox) {
  if (!loop_.closed_.ok()) outbox->Close(loop_.closed_);
  loop_.sessions_[number] = std::move(outbox);
}

void Turn::RemoveSession(core::SessionNumber number) { loop_.sessions_.erase(number); }

void Turn::AddWatch(SweepId sweep, std::shared_ptr<WatchStream> stream) {
  if (!loop_.closed_.ok()) stream->Close(loop_.closed_);
  Loop::Watch& watch = loop_.watches_.emplace_back();
  watch.sweep = sweep;
  watch.stream = std::move(stream);
}

void Turn::CloseStreams(const absl::Status& reason) {
  loop_.closed_ = reason;
  for (const auto& [number, session] : loop_.sessions_) session->Close(reason);
  for (const Loop::Watch& watch : loop_.watches_) watch.stream->Close(reason);
}

void Turn::Touch(RunId run) {
  const core::Run* known = loop_.watches_.empty() ? nullptr : core::FindRun(state, run);
  if (known == nullptr) return;
  for (Loop::Watch& watch : loop_.watches_) {
    if (watch.sweep != known->sweep) continue;
    watch.dirty = true;
    watch.changed.insert(run);
  }
}

Loop::Loop(storage::Database& database, ArtifactStore& artifacts, const Clock& clock,
           core::State state, int64_t heartbeat_ms)
    : database_(database),
      artifacts_(artifacts),
      clock_(clock),
      heartbeat_ms_(heartbeat_ms),
      state_(std::move(state)) {
  inbox_.push_back([](Turn& turn) { core::Resume(turn.state, turn.now, turn.effects); });
  thread_ = std::thread([this] { Run(); });
}

Loop::~Loop() { Stop(); }

void Loop::Post(Work work) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return;
  inbox_.push_back(std::move(work));
  posted_.notify_one();  // holding the lock: the loop may be gone as soon as it has done this
}

absl::Status Loop::Do(const std::function<absl::Status(Turn&)>& work) {
  absl::Status result = absl::UnavailableError("the scheduler is stopping");
  auto done = std::make_shared<std::promise<void>>();
  const std::future<void> waiting = done->get_future();
  Post([&result, &work, done](Turn& turn) {
    result = work(turn);
    turn.AfterCommit([done] { done->set_value(); });
  });
  done.reset();    // the work holds it now; should the work be dropped, the promise is broken
  waiting.wait();  // and the wait is over, too
  return result;
}

void Loop::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  posted_.notify_one();
  if (thread_.joinable()) thread_.join();
}

absl::Status Loop::status() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

void Loop::Run() {
  while (true) {
    std::vector<Work> batch;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      posted_.wait_for(lock, absl::ToChronoNanoseconds(UntilNextTick()),
                       [this] { return stopping_ || !inbox_.empty(); });
      if (stopping_ && inbox_.empty()) return;
      while (!inbox_.empty() && batch.size() < kMaxBatch) {
        batch.push_back(std::move(inbox_.front()));
        inbox_.pop_front();
      }
    }
    if (const absl::Status status = RunBatch(std::move(batch)); !status.ok()) {
      LogError(absl::StrCat("stopped: ", status.message()));
      std::lock_guard<std::mutex> lock(mutex_);
      status_ = status;
      stopping_ = true;
      return;
    }
  }
}

absl::Status Loop::RunBatch(std::vector<Work> batch) {
  core::Effects effects;
  storage::Transaction transaction(database_);
  Turn turn(*this, effects, transaction);
  for (const Work& work : batch) {
    work(turn);
    Store(turn);  // so that the next one reads what this one did
  }
  core::OnTick(state_, turn.now, effects);
  Store(turn);
  RETURN_IF_ERROR(CompleteAssigns(turn));
  RETURN_IF_ERROR(transaction.Commit());
  for (const std::function<void()>& then : turn.after_commit_) then();
  Send(effects);
  UpdateWatches(turn.now);
  return absl::OkStatus();
}

void Loop::Store(Turn& turn) {
  for (const core::Change& change : turn.effects.changes) StoreChange(turn, change);
  turn.effects.changes.clear();
}

void Loop::Send(core::Effects& effects) {
  for (core::Outgoing& out : effects.messages) {
    const auto session = sessions_.find(out.session);
    if (session != sessions_.end()) session->second->Send(std::move(out.message));
  }
  for (const core::SessionNumber number : effects.closed) {
    const auto session = sessions_.find(number);
    if (session == sessions_.end()) continue;
    session->second->Close(absl::OkStatus());
    sessions_.erase(session);
  }
}

void Loop::UpdateWatches(core::Time now) {
  const auto over = [&](Watch& watch) { return !UpdateWatch(now, watch); };
  watches_.erase(std::remove_if(watches_.begin(), watches_.end(), over), watches_.end());
}

bool Loop::UpdateWatch(core::Time now, Watch& watch) {
  const WatchStream::Condition condition = watch.stream->condition();
  if (condition == WatchStream::Condition::kGone) return false;
  if (!watch.dirty || now < watch.not_before) return true;
  watch.not_before = now + kWatchInterval;
  if (condition == WatchStream::Condition::kBusy) return true;
  absl::StatusOr<v1::SweepUpdate> update =
      watch.first ? FirstUpdate(database_, state_, now, watch.sweep)
                  : NextUpdate(database_, state_, now, watch.sweep, watch.changed);
  if (!update.ok()) {
    LogError(update.status().message());
    return true;
  }
  const bool last = !state_.sweeps.at(watch.sweep).open();
  watch.stream->Send(*std::move(update), last);
  watch.first = watch.dirty = false;
  watch.changed.clear();
  return !last;
}

absl::Duration Loop::UntilNextTick() const {
  core::Time next = core::NextTick(state_);
  for (const Watch& watch : watches_) {
    if (watch.dirty) next = std::min(next, watch.not_before);
  }
  return std::max(absl::ZeroDuration(), next - clock_.Monotonic());
}

}  // namespace qsweep
