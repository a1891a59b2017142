#include "scheduler/rounds.h"

#include <algorithm>

#include "common/log.h"
#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "scheduler/persistence.h"
#include "scheduler/views.h"
#include "storage/artifacts.h"

namespace qsweep {
namespace {

constexpr absl::Duration kWatchInterval = absl::Milliseconds(250);

}  // namespace

Turn::Turn(Rounds& rounds, core::Effects& effects, storage::Transaction& transaction)
    : state(rounds.state_),
      effects(effects),
      transaction(transaction),
      artifacts(rounds.artifacts_),
      now(rounds.clock_.Monotonic()),
      unix_us(rounds.clock_.UnixMicros()),
      heartbeat_ms(rounds.heartbeat_ms_),
      rounds_(rounds) {}

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
  if (!rounds_.closed_.ok()) outbox->Close(rounds_.closed_);
  rounds_.sessions_[number] = std::move(outbox);
}

void Turn::RemoveSession(core::SessionNumber number) { rounds_.sessions_.erase(number); }

const Outbox* Turn::FindSession(core::SessionNumber number) const {
  const auto it = rounds_.sessions_.find(number);
  return it == rounds_.sessions_.end() ? nullptr : it->second.get();
}

void Turn::AddWatch(SweepId sweep, std::shared_ptr<WatchStream> stream) {
  if (!rounds_.closed_.ok()) stream->Close(rounds_.closed_);
  Rounds::Watch& watch = rounds_.watches_.emplace_back();
  watch.sweep = sweep;
  watch.stream = std::move(stream);
}

void Turn::CloseStreams(const absl::Status& reason) {
  rounds_.closed_ = reason;
  for (const auto& [number, session] : rounds_.sessions_) session->Close(reason);
  for (const Rounds::Watch& watch : rounds_.watches_) watch.stream->Close(reason);
}

void Turn::Touch(RunId run) {
  const core::Run* known = rounds_.watches_.empty() ? nullptr : core::FindRun(state, run);
  if (known == nullptr) return;
  for (Rounds::Watch& watch : rounds_.watches_) {
    if (watch.sweep != known->sweep) continue;
    watch.dirty = true;
    watch.changed.insert(run);
  }
}

Rounds::Rounds(storage::Database& database, ArtifactStore& artifacts, const Clock& clock,
               core::State state, int64_t heartbeat_ms)
    : database_(database),
      artifacts_(artifacts),
      clock_(clock),
      heartbeat_ms_(heartbeat_ms),
      state_(std::move(state)) {}

Work Rounds::StartWork() {
  return [](Turn& turn) { core::StartAfterRecovery(turn.state, turn.now, turn.effects); };
}

void Rounds::Send(core::Effects& effects) {
  for (core::Outgoing& out : effects.messages) {
    const auto session = sessions_.find(out.session);
    if (session != sessions_.end()) session->second->Send(std::move(out.message));
  }
  for (const core::Closing& closing : effects.closed) {
    const auto session = sessions_.find(closing.session);
    if (session == sessions_.end()) continue;
    // A worker that has lost the stream does not hear it; two of one id do.
    session->second->Close(closing.replaced ? absl::FailedPreconditionError(kSameId)
                                            : absl::OkStatus());
    sessions_.erase(session);
  }
}

void Rounds::UpdateWatches(core::Time now) {
  const auto over = [&](Watch& watch) { return !UpdateWatch(now, watch); };
  watches_.erase(std::remove_if(watches_.begin(), watches_.end(), over), watches_.end());
}

bool Rounds::UpdateWatch(core::Time now, Watch& watch) {
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

absl::Duration Rounds::UntilNextRound() const {
  core::Time next = core::NextTick(state_);
  for (const Watch& watch : watches_) {
    if (watch.dirty) next = std::min(next, watch.not_before);
  }
  return std::max(absl::ZeroDuration(), next - clock_.Monotonic());
}

Round::Round(Rounds& rounds)
    : rounds_(rounds), transaction_(rounds.database_), turn_(rounds, effects_, transaction_) {}

void Round::Do(const Work& work) {
  work(turn_);
  Store();  // so that the next one reads what this one did
}

absl::Status Round::Conclude() {
  core::OnTick(rounds_.state_, turn_.now, effects_);
  Store();
  return CompleteAssigns(turn_);
}

void Round::Release() {
  for (const std::function<void()>& then : turn_.after_commit_) then();
  rounds_.Send(effects_);
  rounds_.UpdateWatches(turn_.now);
}

void Round::Store() {
  for (const core::Change& change : effects_.changes) StoreChange(turn_, change);
  effects_.changes.clear();
}

}  // namespace qsweep
