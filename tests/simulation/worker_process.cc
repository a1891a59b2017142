#include "tests/simulation/worker_process.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_id.h"
#include "common/version.h"
#include "tests/simulation/oracle.h"

namespace qsweep::simulation {
namespace {

uint64_t Number(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

int64_t CheckpointInterval(const std::string& key) { return 2 + Number(key) % 4; }
int64_t TotalSteps(const std::string& key) { return 4 + Number(key) % 16; }
double Loss(const std::string& key, int64_t step) {
  return static_cast<double>(Number(absl::StrCat(key, step)) % 1'000'000);
}
std::string CheckpointContent(const std::string& key, int64_t step) {
  return absl::StrCat("checkpoint of ", key, " at ", step);
}
std::string ProductContent(const std::string& key) { return absl::StrCat("weights of ", key); }
bool FailsByConfig(const std::string& key) { return Number(key) % 11 == 0; }

WorkerProcess::WorkerProcess(World& world, int number)
    : world_(world), step_time_(world.random().Within(absl::Milliseconds(200), absl::Seconds(2))) {
  info_.set_id(absl::StrCat("worker-", number));
  info_.set_name(info_.id());
  info_.set_protocol(kProtocol);
  info_.set_slots(1 + static_cast<int>(world.random().Below(3)));
  info_.set_memory_bytes(kLargestMemory + world.random().Below(kLargestMemory));
  info_.add_datasets("cifar10");
}

Time WorkerProcess::now() const { return world_.timeline().now(); }

void WorkerProcess::InAgent(Time delay, std::function<void()> what) {
  world_.timeline().After(delay, [this, agent = agent_, what = std::move(what)] {
    if (agent != agent_ || !agent_up_) return;
    if (paused_until_ > now()) return InAgent(paused_until_ - now(), what);
    what();
  });
}

void WorkerProcess::OnMachine(Time delay, std::function<void()> what) {
  world_.timeline().After(delay, [this, machine = machine_, what = std::move(what)] {
    if (machine != machine_) return;
    if (paused_until_ > now()) return OnMachine(paused_until_ - now(), what);
    what();
  });
}

void WorkerProcess::Start() {
  if (agent_up_) return;
  agent_up_ = true;
  leaving_ = false;
  Dial();
  Beat();
  Advance();
}

// --- Faults

void WorkerProcess::BreakStream() {
  if (stream_ != nullptr) stream_->Break();
}

void WorkerProcess::ForgetAgent() {
  agent_up_ = false;
  ++agent_;
  stream_.reset();
  std::erase_if(attempts_, [](const auto& entry) {
    return entry.second.phase == Phase::kPreparing && !entry.second.ended;
  });
  for (auto& [id, a] : attempts_) {
    a.phase = a.ended ? Phase::kEnded : a.started ? Phase::kRunning : Phase::kReady;
    a.stop = a.stop_file ? StopWish::kCheckpoint : StopWish::kNone;
    a.stop_reason = a.stop_file.value_or("");
    a.terminated_at.reset();
    a.killed = a.attached = a.end_sent = a.end_acknowledged = false;
    a.adopted = true;
    a.acknowledged = a.sent = 0;
    a.cut_reason.clear();
    a.uploads.clear();
  }
}

void WorkerProcess::CrashAgent(Time down) {
  if (!agent_up_) return;
  if (stream_ != nullptr) stream_->CloseClient();
  ForgetAgent();
  OnMachine(down, [this] { Start(); });
}

void WorkerProcess::CrashMachine(Time down, bool lose_disk) {
  if (stream_ != nullptr) stream_->Vanish();
  ForgetAgent();
  ++machine_;
  for (auto& [id, a] : attempts_) {
    a.trainer = 0;
    // What was written last may not be on its disk, whoever has seen it.
    if (!a.ended) a.log.resize(world_.random().Below(static_cast<int64_t>(a.log.size()) + 1));
  }
  if (lose_disk) {
    attempts_.clear();
    info_.set_id(absl::StrCat(info_.name(), "-disk-", machine_));
  }
  OnMachine(down, [this] { Start(); });
}

void WorkerProcess::Pause(Time duration) {
  paused_until_ = std::max(paused_until_, now() + duration);
}

void WorkerProcess::Leave(Time away) {
  if (!agent_up_ || leaving_) return;
  leaving_ = true;
  for (auto& [id, a] : attempts_) {
    if (a.stop == StopWish::kNone) {
      a.stop = StopWish::kCheckpoint;
      a.stop_reason = "the worker is shutting down";
    }
  }
  Advance();
  InAgent(absl::Seconds(8), [this, away] {
    for (auto& [id, a] : attempts_) a.trainer = 0;  // those that would not stop
    if (stream_ != nullptr && welcomed_) {
      v1::FromWorker goodbye;
      goodbye.mutable_goodbye()->set_reason("the worker is shutting down");
      stream_->Write(std::move(goodbye));
    }
    CrashAgent(away);
  });
}

// --- The session

void WorkerProcess::Dial() {
  if (stream_ != nullptr) return;
  stream_ = std::make_shared<Stream>(world_, *this, link_);
  welcomed_ = false;
  stops_seen_ = 0;
  v1::FromWorker message;
  *message.mutable_hello()->mutable_info() = info_;
  for (const auto& [id, a] : attempts_) {
    if (a.stop == StopWish::kDiscard) continue;
    *message.mutable_hello()->add_held()->mutable_attempt() = a.assign.attempt();
  }
  stream_->Write(std::move(message));
  InAgent(absl::Seconds(20), [this, stream = stream_] {
    if (stream != stream_ || welcomed_) return;
    stream->CloseClient();
    OnClosed(*stream);
  });
}

void WorkerProcess::OnClosed(Stream& stream) {
  if (stream_.get() != &stream) return;
  stream_.reset();
  welcomed_ = false;
  for (auto& [id, a] : attempts_) a.attached = a.end_sent = false;
  InAgent(world_.random().Within(kPoll, absl::Seconds(5)), [this] { Dial(); });
}

void WorkerProcess::Beat() {
  if (stream_ != nullptr && welcomed_) {
    v1::FromWorker message;
    message.mutable_heartbeat()->set_stops_seen(stops_seen_);
    for (const auto& [id, a] : attempts_) {
      v1::AttemptProgress* progress = message.mutable_heartbeat()->add_attempts();
      *progress->mutable_attempt() = a.assign.attempt();
      progress->set_step(a.step);
    }
    stream_->Write(std::move(message));
  }
  InAgent(kHeartbeat, [this] { Beat(); });
}

void WorkerProcess::OnMessage(Stream& stream, const v1::ToWorker& message) {
  InAgent({}, [this, from = stream.shared_from_this(), message] {
    if (from != stream_) return;
    if (message.has_welcome()) return OnWelcome(message.welcome());
    if (message.has_assign()) return OnAssign(message.assign());
    if (message.has_events_ack()) {
      Attempt* a = Find(message.events_ack().attempt());
      if (a == nullptr) return;
      const uint64_t records = message.events_ack().offset() / kRecordBytes;
      if (records < a->acknowledged) a->sent = records;
      a->sent = std::max(a->sent, records);
      a->acknowledged = records;
      world_.oracle().OnAcknowledged(FromProto(a->assign.attempt()), a->key, a->log, records);
    } else if (message.has_ended_ack()) {
      if (Attempt* a = Find(message.ended_ack().attempt())) a->end_acknowledged = true;
    } else if (message.has_stop()) {
      stops_seen_ = message.stop().number();
      Attempt* a = Find(message.stop().attempt());
      const StopWish wish =
          message.stop().checkpoint() ? StopWish::kCheckpoint : StopWish::kDiscard;
      if (a != nullptr && wish > a->stop) {
        a->stop = wish;
        a->stop_reason = message.stop().reason();
      }
    }
    Advance();
  });
}

void WorkerProcess::OnWelcome(const v1::Welcome& welcome) {
  welcomed_ = true;
  for (const v1::HeldVerdict& verdict : welcome.verdicts()) {
    Attempt* a = Find(verdict.attempt());
    if (a == nullptr) continue;
    if (verdict.keep()) {
      a->attached = true;
      // A machine that lost power may have less than it had sent.
      a->acknowledged = a->sent =
          std::min<uint64_t>(verdict.acked_offset() / kRecordBytes, a->log.size());
      a->uploads.clear();
    } else {
      a->stop = StopWish::kDiscard;
    }
  }
  Advance();
}

void WorkerProcess::OnAssign(const v1::Assign& assign) {
  if (Find(assign.attempt()) != nullptr || leaving_) return;
  const AttemptId id = FromProto(assign.attempt());
  Attempt& a = attempts_[id];
  a.assign = assign;
  a.attached = true;
  a.key = world_.oracle().OnAssign(assign, &a.memory_bytes);
  Fetch(id, 0);
}

void WorkerProcess::Fetch(const AttemptId& id, int stage) {
  Attempt* a = Find(id);
  if (a == nullptr || a->phase != Phase::kPreparing) return;
  const bool wanted = stage == 0 ? a->assign.has_resume_from() : a->assign.has_weights();
  if (!wanted || stage > 1) {
    if (stage < 1) return Fetch(id, stage + 1);
    a->phase = Phase::kReady;
    return Advance();
  }
  const v1::ArtifactRef& ref = stage == 0 ? a->assign.resume_from() : a->assign.weights();
  world_.Call(
      &link_, [sha = ref.sha256()](Turn& turn) { return turn.artifacts.Open(sha).status(); },
      [this, id, stage, agent = agent_](const absl::Status& status) {
        if (agent != agent_) return;
        Attempt* a = Find(id);
        if (a == nullptr || a->phase != Phase::kPreparing) return;
        if (status.ok()) return Fetch(id, stage + 1);
        if (!absl::IsNotFound(status)) {
          return InAgent(absl::Seconds(1), [this, id, stage] { Fetch(id, stage); });
        }
        Evidence evidence;
        evidence.start_error = "fetching an artifact";
        evidence.input_refused = true;
        End(*a, std::move(evidence));
        Advance();
      });
}

WorkerProcess::Attempt* WorkerProcess::Find(const v1::Attempt& attempt) {
  return Find(FromProto(attempt));
}

WorkerProcess::Attempt* WorkerProcess::Find(const AttemptId& id) {
  const auto it = attempts_.find(id);
  return it == attempts_.end() ? nullptr : &it->second;
}

}  // namespace qsweep::simulation
