#include "worker/agent/agent.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/attempt_id.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"
#include "common/utf8.h"

namespace qsweep {
namespace {

// How long a trainer's event or end may lie unseen.
constexpr absl::Duration kPollInterval = absl::Milliseconds(100);
constexpr absl::Duration kSampleInterval = absl::Seconds(1);
// At shutdown: for the last events and files once the trainers are gone, and for a scheduler that
// is away to come back.
constexpr absl::Duration kReportTime = absl::Seconds(15);
constexpr absl::Duration kReconnectTime = absl::Seconds(5);
constexpr absl::Duration kGoodbyeTime = absl::Seconds(2);
constexpr char kShutdownReason[] = "the worker is shutting down";

}  // namespace

Agent::Agent(AgentOptions options, StateDirectory state, std::shared_ptr<grpc::Channel> session,
             std::shared_ptr<grpc::Channel> transfers, const Clock& clock)
    : options_(std::move(options)),
      state_(std::move(state)),
      clock_(clock),
      next_sample_(clock.Monotonic()),
      environment_{state_,
                   options_.trainer,
                   machine_,
                   clock_,
                   [this](v1::FromWorker message) { session_.Send(std::move(message)); },
                   [this](Transfer transfer) {
                     (transfer.direction == Direction::kUpload ? uploads_ : downloads_)
                         .Enqueue(std::move(transfer));
                   }},
      uploads_(transfers,
               [this](const Transfer& transfer, const TransferResult& result) {
                 inbox_.Put(TransferEnded{transfer, result});
               }),
      downloads_(transfers,
                 [this](const Transfer& transfer, const TransferResult& result) {
                   inbox_.Put(TransferEnded{transfer, result});
                 }),
      session_(session, clock, [this](SessionEvent event) { inbox_.Put(std::move(event)); }) {
  options_.info.set_id(state_.worker_id());
  MakeUtf8(&options_.info);
}

absl::Status Agent::Run() {
  ASSIGN_OR_RETURN(const std::vector<v1::Assign> left, state_.Attempts());
  for (const v1::Assign& assign : left) {
    std::unique_ptr<Attempt> attempt = Attempt::FromDirectory(environment_, assign);
    LogInfo(absl::StrCat(LogTag(attempt->id()), "taken over from an earlier agent"));
    attempts_[attempt->id()] = std::move(attempt);
  }
  while (!ShutdownDone()) {
    for (Message& message : inbox_.TakeAll(kPollInterval)) {
      std::visit([this](auto& kind) { Handle(kind); }, message);
    }
    AdvanceAll();
    UpdateHeartbeat();
  }
  std::optional<v1::Goodbye> goodbye(std::in_place);
  goodbye->set_reason(kShutdownReason);
  for (const auto& [id, attempt] : attempts_) {
    if (!attempt->succeeded()) continue;
    // A goodbye would give its run to another worker, who would compute it all again.
    LogInfo(absl::StrCat(LogTag(id),
                         "finished and not reported yet; an agent that begins here "
                         "within the lease does it"));
    goodbye.reset();
  }
  session_.Leave(std::move(goodbye), kGoodbyeTime);
  return absl::OkStatus();
}

void Agent::Handle(SessionEvent& event) {
  std::visit([this](const auto& kind) { On(kind); }, event);
}

void Agent::Handle(TransferEnded& ended) {
  const auto it = attempts_.find(ended.transfer.attempt);
  if (it != attempts_.end()) it->second->OnTransfer(ended.transfer, ended.result);
}

void Agent::Handle(ShutdownAsked&) {
  if (shutdown_since_) return;
  shutdown_since_ = clock_.Monotonic();
  LogInfo(absl::StrCat("shutting down; attempts to stop and report: ", attempts_.size()));
  for (const auto& [id, attempt] : attempts_) attempt->Stop(kShutdownReason, /*checkpoint=*/true);
}

void Agent::On(const SessionWanted&) {
  heartbeat_.set_stops_seen(0);
  session_.SetHeartbeat(heartbeat_);
  v1::Hello hello;
  *hello.mutable_info() = options_.info;
  for (const auto& [id, attempt] : attempts_) {
    if (!attempt->discarded()) *hello.add_held()->mutable_attempt() = ToProto(id);
  }
  session_.Open(std::move(hello));
}

void Agent::On(const SessionClosed& closed) {
  connected_ = false;
  for (const auto& [id, attempt] : attempts_) attempt->Detach();
  const std::string complaint = closed.reason.ToString();
  if (std::exchange(last_complaint_, complaint) == complaint) return;
  LogWarning(absl::StrCat(IsRefusal(closed.reason) ? "the scheduler refuses this worker ("
                                                   : "no session with the scheduler (",
                          complaint, "); trying again, training goes on"));
}

void Agent::On(const v1::ToWorker& message) {
  switch (message.kind_case()) {
    case v1::ToWorker::kWelcome:
      return OnWelcome(message.welcome());
    case v1::ToWorker::kAssign:
      return OnAssign(message.assign());
    case v1::ToWorker::kEventsAck:
      if (Attempt* attempt = Find(message.events_ack().attempt())) {
        attempt->OnEventsAck(message.events_ack().offset());
      }
      return;
    case v1::ToWorker::kEndedAck:
      if (Attempt* attempt = Find(message.ended_ack().attempt())) attempt->OnEndedAck();
      return;
    case v1::ToWorker::kStop:
      heartbeat_.set_stops_seen(message.stop().number());
      if (Attempt* attempt = Find(message.stop().attempt())) {
        attempt->Stop(message.stop().reason(), message.stop().checkpoint());
      }
      return;
    case v1::ToWorker::KIND_NOT_SET:
      LogWarning("the scheduler said something this worker does not know; upgrade it");
      return;
  }
}

void Agent::OnWelcome(const v1::Welcome& welcome) {
  connected_ = true;
  last_complaint_.clear();
  LogInfo(absl::StrCat("connected; attempts held: ", attempts_.size()));
  for (const v1::HeldVerdict& verdict : welcome.verdicts()) {
    Attempt* const attempt = Find(verdict.attempt());
    if (attempt == nullptr) {
      if (verdict.keep()) {
        ReportAbsent(verdict.attempt(), v1::BLAME_MACHINE);
      }
    } else if (verdict.keep()) {
      attempt->Attach(verdict.acked_offset());
    } else {
      attempt->Stop("the scheduler has given it up", /*checkpoint=*/false);
    }
  }
}

void Agent::OnAssign(const v1::Assign& assign) {
  if (const Attempt* attempt = Find(assign.attempt())) {
    // Of another database's scheduler, under whose number this one cannot be run, too.
    if (attempt->discarded()) ReportAbsent(assign.attempt(), v1::BLAME_CONTROL_PLANE);
    return;
  }
  // The goodbye gives it back. Any answer before would only bring the next assignment.
  if (shutdown_since_) return;
  std::unique_ptr<Attempt> attempt = Attempt::FromAssign(environment_, assign);
  attempts_[attempt->id()] = std::move(attempt);
}

void Agent::ReportAbsent(const v1::Attempt& attempt, v1::Blame blame) {
  v1::FromWorker message;
  *message.mutable_ended()->mutable_attempt() = attempt;
  message.mutable_ended()->set_blame(blame);
  message.mutable_ended()->set_error("the worker does not have this attempt");
  session_.Send(std::move(message));
}

void Agent::AdvanceAll() {
  int free_slots = disk_.low() ? 0 : options_.info.slots() - RunningTrainers();
  for (auto it = attempts_.begin(); it != attempts_.end();) {
    Attempt& attempt = *it->second;
    const bool was_running = attempt.phase() == Phase::kRunning;
    const bool stays = attempt.Advance(free_slots > 0);
    if (!was_running && attempt.phase() == Phase::kRunning) --free_slots;
    it = stays ? std::next(it) : attempts_.erase(it);
  }
}

int Agent::RunningTrainers() const {
  return static_cast<int>(std::count_if(attempts_.begin(), attempts_.end(), [](const auto& entry) {
    return entry.second->phase() == Phase::kRunning;
  }));
}

void Agent::UpdateHeartbeat() {
  if (clock_.Monotonic() >= next_sample_) {
    next_sample_ = clock_.Monotonic() + kSampleInterval;
    heartbeat_.set_cpu_load(machine_.BusyCores());
    heartbeat_.set_memory_free_bytes(machine_.MemoryAvailableBytes());
    LookAtDisk();
    const bool up = uploads_.Moved(), down = downloads_.Moved();
    for (const auto& [id, attempt] : attempts_) {
      attempt->Sample();
      if (up || down) attempt->OnFilesMove();
    }
  }
  heartbeat_.clear_attempts();
  for (const auto& [id, attempt] : attempts_) *heartbeat_.add_attempts() = attempt->progress();
  session_.SetHeartbeat(heartbeat_);
}

// Before it is full: what runs may need the rest. What has not begun goes back, to be run
// elsewhere.
void Agent::LookAtDisk() {
  const absl::StatusOr<int64_t> free =
      options_.free_disk_bytes ? options_.free_disk_bytes() : FreeDiskBytes(state_.path());
  if (!free.ok()) return;  // not known is not low
  heartbeat_.set_disk_free_bytes(*free);
  const bool changed = disk_.Note(*free);
  const std::string why = disk_.low() ? absl::StrCat("its ", disk_.Complaint(*free)) : "";
  heartbeat_.set_refuses(why);
  if (disk_.low()) {
    for (const auto& [id, attempt] : attempts_) {
      const bool begun = attempt->phase() == Phase::kRunning || attempt->phase() == Phase::kEnded;
      if (!begun) attempt->Stop(why, /*checkpoint=*/true);
    }
  }
  if (!changed) return;
  if (disk_.low()) {
    LogWarning(absl::StrCat(why, "; takes no runs until there is room in ", state_.path()));
  } else {
    LogInfo("there is room on the disk again: takes runs");
  }
}

MetricsPage Agent::Metrics() {
  const auto [heartbeat, connected] = session_.Standing();
  MetricsPage page;
  page.Gauge("qsweep_worker_connected", "1 while the scheduler can be reached.", connected);
  page.Gauge("qsweep_worker_slots", "Runs at a time.", options_.info.slots());
  page.Gauge("qsweep_worker_attempts", "Attempts held, trained or still to be reported.",
             heartbeat.attempts_size());
  double rss = 0, cores = 0, rate = 0;
  for (const v1::AttemptProgress& attempt : heartbeat.attempts()) {
    rss += static_cast<double>(attempt.rss_bytes());
    cores += attempt.cpu_cores();
    rate += attempt.images_per_s();
  }
  page.Gauge("qsweep_worker_trainers_resident_bytes", "Memory of all trainers.", rss);
  page.Gauge("qsweep_worker_trainers_cores", "Cores that trainers keep busy.", cores);
  page.Gauge("qsweep_worker_images_per_second", "Of all trainers.", rate);
  page.Gauge("qsweep_worker_cpu_load", "Cores busy on the machine.", heartbeat.cpu_load());
  page.Gauge("qsweep_worker_memory_free_bytes", "Memory available on the machine.",
             static_cast<double>(heartbeat.memory_free_bytes()));
  page.Gauge("qsweep_worker_disk_free_bytes", "Free for the state directory.",
             static_cast<double>(heartbeat.disk_free_bytes()));
  page.Gauge("qsweep_holding", "1 while no new work is taken, for want of disk.",
             heartbeat.refuses().empty() ? 0 : 1);
  page.Process();
  return page;
}

bool Agent::ShutdownDone() const {
  if (!shutdown_since_) return false;
  if (attempts_.empty()) return true;
  const absl::Duration since = clock_.Monotonic() - *shutdown_since_;
  if (!connected_ && RunningTrainers() == 0 && since > kReconnectTime) return true;
  return since > kStopGrace + kReportTime;
}

Attempt* Agent::Find(const v1::Attempt& attempt) {
  const auto it = attempts_.find(FromProto(attempt));
  return it == attempts_.end() ? nullptr : it->second.get();
}

}  // namespace qsweep
