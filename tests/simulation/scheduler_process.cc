#include "tests/simulation/scheduler_process.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "scheduler/recovery.h"
#include "scheduler/worker_messages.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/worker_process.h"

namespace qsweep::simulation {
namespace {

// How long a side may take to notice that a stream is broken: gRPC's pings come every 10 s and wait
// for 10 s.
constexpr absl::Duration kNoticed = absl::Seconds(20);

bool IsNumbered(const v1::FromWorker& message) {
  return message.has_events() || message.has_ended();
}
bool IsNumbered(const v1::ToWorker& message) {
  return message.has_events_ack() || message.has_ended_ack();
}

}  // namespace

Stream::Stream(World& world, WorkerProcess& worker, const Link& link)
    : world_(world),
      worker_(worker),
      link_(link),
      up_(std::make_shared<Pipe>(world.timeline(), world.random(), world.weather(),
                                 link.up_blocked_until)),
      down_(std::make_shared<Pipe>(world.timeline(), world.random(), world.weather(),
                                   link.down_blocked_until)) {}

void Stream::Write(v1::FromWorker message) {
  const bool numbered = IsNumbered(message);
  up_->Put([self = shared_from_this(), message = std::move(message)] { self->Receive(message); },
           numbered);
}

void Stream::Receive(v1::FromWorker message) {
  SchedulerProcess& scheduler = world_.scheduler();
  if (!server_open_) return;
  if (!scheduler.up() || (number_ != 0 && incarnation_ != scheduler.incarnation())) {
    return ServerGone();
  }
  if (number_ == 0) {
    number_ = scheduler.NextSession();
    incarnation_ = scheduler.incarnation();
    scheduler.AddStream(shared_from_this());
  }
  world_.oracle().OnContact(worker_.id());
  scheduler.Post([self = shared_from_this(), message = std::move(message)](Turn& turn) mutable {
    absl::Status status;
    if (self->greeted_) {
      core::SessionNumber session = self->number_;
      self->world_.scheduler().Corrupt(&session, &message);
      status = TakeMessage(turn, session, message, StoredResults(message));
    } else {
      self->greeted_ = true;
      status = TakeHello(turn, self->number_, message.hello(), self);
    }
    if (!status.ok())
      self->world_.Violated(absl::StrCat("a message was refused: ", status.message()));
  });
}

void Stream::Break() {
  up_->Cut();
  down_->Cut();
  Random& random = world_.random();
  world_.timeline().After(random.Within({}, kNoticed), [self = shared_from_this()] {
    if (std::exchange(self->client_open_, false)) self->worker_.OnClosed(*self);
  });
  world_.timeline().After(random.Within({}, kNoticed), [self = shared_from_this()] {
    if (!std::exchange(self->server_open_, false)) return;
    if (self->incarnation_ != self->world_.scheduler().incarnation()) return;
    self->world_.scheduler().Post(
        [number = self->number_](Turn& turn) { TakeDisconnect(turn, number); });
  });
}

void Stream::CloseClient() {
  client_open_ = false;
  up_->Put(
      [self = shared_from_this()] {
        if (!std::exchange(self->server_open_, false)) return;
        if (self->incarnation_ != self->world_.scheduler().incarnation()) return;
        self->world_.scheduler().Post(
            [number = self->number_](Turn& turn) { TakeDisconnect(turn, number); });
      },
      /*numbered=*/false);
}

void Stream::Vanish() {
  client_open_ = false;
  Break();
}

void Stream::Send(v1::ToWorker message) {
  if (!server_open_) return;
  const bool numbered = IsNumbered(message);
  down_->Put(
      [self = shared_from_this(), message = std::move(message)] {
        if (self->client_open_) self->worker_.OnMessage(*self, message);
      },
      numbered);
}

void Stream::Close(const absl::Status&) {
  if (!server_open_) return;
  ServerGone();
  world_.scheduler().Post([number = number_](Turn& turn) { TakeDisconnect(turn, number); });
}

void Stream::ServerGone() {
  server_open_ = false;
  up_->Cut();
  down_->Put(
      [self = shared_from_this()] {
        if (std::exchange(self->client_open_, false)) self->worker_.OnClosed(*self);
      },
      /*numbered=*/false);
}

SchedulerProcess::SchedulerProcess(World& world, Bug bug, const std::string& directory)
    : world_(world), bug_(bug) {
  auto database = storage::Database::Open(":memory:");
  auto artifacts = ArtifactStore::Create(directory);
  QSWEEP_CHECK(database.ok() && artifacts.ok());
  database_ = *std::move(database);
  artifacts_ = *std::move(artifacts);
}

SchedulerProcess::~SchedulerProcess() = default;

void SchedulerProcess::Start() {
  Random& random = world_.random();
  ++incarnation_;
  clock_ = std::make_unique<ProcessClock>(world_.timeline(),
                                          random.Within(absl::Seconds(1), absl::Hours(1000)));
  core::Policy policy;
  policy.lease = kLease;
  policy.hung_after = absl::Minutes(5);
  absl::StatusOr<core::State> state = Recover(*database_, *artifacts_, *clock_, policy);
  if (!state.ok()) {
    world_.Violated(absl::StrCat("recovery: ", state.status().message()));
    return;
  }
  rounds_ = std::make_unique<Rounds>(*database_, *artifacts_, *clock_, *std::move(state),
                                     absl::ToInt64Milliseconds(kHeartbeat));
  last_session_ = 0;
  inbox_.assign(1, Rounds::StartWork());
  world_.oracle().AfterRecovery();
  ScheduleRound(absl::ZeroDuration());
}

void SchedulerProcess::Post(Work work) {
  if (!up()) return;
  inbox_.push_back(std::move(work));
  ScheduleRound(world_.random().Within({}, absl::Milliseconds(5)));
}

void SchedulerProcess::ScheduleRound(Time delay) {
  const Time when = std::max(world_.timeline().now() + delay, paused_until_);
  if (round_at_ >= world_.timeline().now() && round_at_ <= when) return;
  round_at_ = when;
  world_.timeline().At(when, [this, turn = ++agenda_] {
    if (turn == agenda_ && up()) RunRound();
  });
}

void SchedulerProcess::RunRound() {
  round_at_ = -absl::InfiniteDuration();
  if (paused_until_ > world_.timeline().now()) return ScheduleRound({});
  const std::vector<Work> batch = std::exchange(inbox_, {});
  CrashPoint crash = CrashPoint::kNone;
  if (!batch.empty()) crash = std::exchange(crash_point_, CrashPoint::kNone);
  {
    Round round(*rounds_);
    for (const Work& work : batch) round.Do(work);
    absl::Status status = round.Conclude();
    if (bug_ == Bug::kAcknowledgeTooEarly) round.Release();
    if (crash != CrashPoint::kBeforeCommit) {
      if (status.ok()) status = round.Commit();
      if (!status.ok()) return world_.Violated(absl::StrCat("commit: ", status.message()));
      world_.oracle().AfterCommit();
    }
    if (crash == CrashPoint::kNone && bug_ != Bug::kAcknowledgeTooEarly) round.Release();
  }
  if (crash != CrashPoint::kNone) return Die();
  std::erase_if(streams_, [](const auto& stream) { return !stream->server_open_; });
  ScheduleRound(rounds_->UntilNextRound());
}

void SchedulerProcess::Crash(Time down) {
  if (!up()) return;
  crash_down_ = down;
  Die();
}

void SchedulerProcess::CrashInRound(CrashPoint point, Time down) {
  crash_point_ = point;
  crash_down_ = down;
}

void SchedulerProcess::Pause(Time duration) {
  paused_until_ = std::max(paused_until_, world_.timeline().now() + duration);
}

void SchedulerProcess::Die() {
  inbox_.clear();
  rounds_.reset();
  ++agenda_;
  round_at_ = -absl::InfiniteDuration();
  for (const auto& stream : std::exchange(streams_, {})) stream->ServerGone();
  world_.timeline().After(crash_down_, [this] { Start(); });
}

void SchedulerProcess::Corrupt(core::SessionNumber* session, v1::FromWorker* message) const {
  if (bug_ != Bug::kSkipFence || !(message->has_events() || message->has_ended())) return;
  v1::Attempt* attempt = message->has_events() ? message->mutable_events()->mutable_attempt()
                                               : message->mutable_ended()->mutable_attempt();
  const core::Run* run = core::FindRun(state(), RunId(attempt->run_id()));
  if (run == nullptr || run->state != v1::RUN_STATE_RUNNING) return;
  attempt->set_number(run->attempt.value());
  if (message->has_events()) {
    v1::EventBatch* batch = message->mutable_events();
    batch->set_end_offset(run->acked_offset + batch->end_offset() - batch->begin_offset());
    batch->set_begin_offset(run->acked_offset);
  }
  *session = state().workers.at(run->worker).session;
}

}  // namespace qsweep::simulation
