#include "tests/simulation/world.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/client.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/scheduler_process.h"
#include "tests/simulation/worker_process.h"

namespace qsweep::simulation {
namespace {

constexpr int kWorkers = 3;
constexpr absl::Duration kCallTimeout = absl::Seconds(10);
// In fair weather: long enough for a hung run to be noticed, a machine to leave quarantine, and all
// to be computed.
constexpr absl::Duration kPatience = absl::Hours(2);

enum Fault {
  kStreamBreaks,
  kUpBlocked,
  kDownBlocked,
  kBothBlocked,
  kAgentCrashes,
  kMachineCrashes,
  kDiskLost,
  kWorkerStopped,
  kWorkerLeaves,
  kSchedulerCrashes,
  kSchedulerCrashesBeforeCommit,
  kSchedulerCrashesAfterCommit,
  kSchedulerStopped,
  kFaults,
};

}  // namespace

World::World(uint64_t seed, Bug bug, const std::string& directory) : random_(seed) {
  oracle_ = std::make_unique<Oracle>(*this);
  scheduler_ = std::make_unique<SchedulerProcess>(*this, bug, directory);
  for (int i = 0; i < kWorkers; ++i) workers_.push_back(std::make_unique<WorkerProcess>(*this, i));
  client_ = std::make_unique<Client>(*this);
  DrawWeather();
}

World::~World() = default;

void World::DrawWeather() {
  const auto maybe = [this](double most) {
    return random_.Chance(0.5) ? most * static_cast<double>(random_.Below(100)) / 100 : 0;
  };
  weather_.latency = random_.Within(absl::Milliseconds(1), absl::Seconds(1));
  weather_.doubled = maybe(0.2);
  weather_.swapped = maybe(0.2);
  weather_.call_lost = maybe(0.3);
  weather_.reply_lost = maybe(0.3);
  weather_.call_again = maybe(0.3);
  mean_calm_ = random_.Within(absl::Seconds(2), absl::Seconds(20));
  faults_ = random_.Next();
  storm_end_ = random_.Within(absl::Minutes(1), absl::Minutes(4));
}

absl::Status World::Run() {
  scheduler_->Start();
  for (const auto& worker : workers_) worker->Start();
  client_->Start(storm_end_);
  ScheduleFault();
  while (violation_.empty() && timeline_.Step(storm_end_)) continue;
  Clear();
  const auto over = [this] {
    if (!client_->idle() || !scheduler_->up()) return false;
    for (const auto& [id, sweep] : scheduler_->state().sweeps) {
      if (sweep.open()) return false;
    }
    return true;
  };
  const Time end = storm_end_ + kPatience;
  while (violation_.empty() && !over()) {
    if (!timeline_.Step(end)) Violated("a run has not ended two hours after the last fault");
  }
  // The last messages arrive, and a clean start collects what crashes have left.
  const Time quiet = timeline_.now() + absl::Minutes(2);
  while (violation_.empty() && timeline_.Step(quiet)) continue;
  if (violation_.empty()) oracle_->AtEnd();
  if (violation_.empty()) return absl::OkStatus();
  return absl::InternalError(violation_);
}

void World::Violated(const std::string& what) {
  if (violation_.empty()) {
    violation_ = absl::StrCat("after ", absl::FormatDuration(timeline_.now()), ": ", what);
  }
}

void World::Call(const Link* link, std::function<absl::Status(Turn&)> work,
                 std::function<void(const absl::Status&)> reply) {
  const auto answer = [reply = std::move(reply),
                       answered = std::make_shared<bool>(false)](const absl::Status& status) {
    if (!std::exchange(*answered, true)) reply(status);
  };
  timeline_.After(kCallTimeout, [answer] { answer(absl::DeadlineExceededError("timeout")); });
  if (random_.Chance(weather_.call_lost)) return;
  const auto execute = [this, link, work = std::move(work), answer] {
    if (!scheduler_->up()) return answer(absl::UnavailableError("nobody listens"));
    scheduler_->Post([this, link, work, answer](Turn& turn) {
      const absl::Status status = work(turn);
      turn.AfterCommit([this, link, status, answer] {
        if (random_.Chance(weather_.reply_lost)) return;
        Time when = timeline_.now() + random_.Within({}, weather_.latency);
        if (link != nullptr) when = std::max(when, link->down_blocked_until);
        timeline_.At(when, [answer, status] { answer(status); });
      });
    });
  };
  Time when = timeline_.now() + random_.Within({}, weather_.latency);
  if (link != nullptr) when = std::max(when, link->up_blocked_until);
  timeline_.At(when, execute);
  if (random_.Chance(weather_.call_again)) {
    timeline_.At(when + random_.Within({}, absl::Seconds(30)), execute);
  }
}

void World::ScheduleFault() {
  timeline_.After(random_.Within({}, mean_calm_ * 2), [this] {
    if (fair_) return;
    StrikeFault();
    ScheduleFault();
  });
}

void World::StrikeFault() {
  const auto fault = random_.Below(kFaults);
  if (((faults_ >> fault) & 1) == 0) return;
  WorkerProcess& worker = *workers_[random_.Below(kWorkers)];
  // Mostly within a lease, sometimes beyond.
  const Time duration = random_.Within({}, random_.Chance(0.3) ? 3 * kLease : kLease / 2);
  const auto block = [&](Time* until) {
    *until = std::max(*until, timeline_.now() + duration);
    if (duration > kLease) timeline_.After(kLease, [&worker] { worker.BreakStream(); });
  };
  switch (fault) {
    case kStreamBreaks:
      return worker.BreakStream();
    case kUpBlocked:
      return block(&worker.link().up_blocked_until);
    case kDownBlocked:
      return block(&worker.link().down_blocked_until);
    case kBothBlocked:
      block(&worker.link().down_blocked_until);
      return block(&worker.link().up_blocked_until);
    case kAgentCrashes:
      return worker.CrashAgent(duration);
    case kMachineCrashes:
      return worker.CrashMachine(duration, /*lose_disk=*/false);
    case kDiskLost:
      return worker.CrashMachine(duration, /*lose_disk=*/true);
    case kWorkerStopped:
      return worker.Pause(duration);
    case kWorkerLeaves:
      return worker.Leave(duration);
    case kSchedulerCrashes:
      return scheduler_->Crash(duration);
    case kSchedulerCrashesBeforeCommit:
      return scheduler_->CrashInRound(SchedulerProcess::CrashPoint::kBeforeCommit, duration);
    case kSchedulerCrashesAfterCommit:
      return scheduler_->CrashInRound(SchedulerProcess::CrashPoint::kAfterCommit, duration);
    case kSchedulerStopped:
      return scheduler_->Pause(duration);
  }
}

void World::Clear() {
  fair_ = true;
  weather_ = Weather();
  weather_.latency = absl::Milliseconds(20);
  for (const auto& worker : workers_) {
    worker->link() = Link();
    // What was doubled, swapped or blocked is sent again on a new one.
    worker->BreakStream();
  }
  scheduler_->CrashInRound(SchedulerProcess::CrashPoint::kNone, {});
  client_->LetGo();
}

}  // namespace qsweep::simulation
