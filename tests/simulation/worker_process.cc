#include "tests/simulation/worker_process.h"

#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/hash.h"
#include "common/version.h"
#include "scheduler/events.h"
#include "tests/simulation/oracle.h"
#include "worker/agent/event_tail.h"

namespace qsweep::simulation {
namespace {

constexpr uint64_t kRecordBytes = 16;
constexpr size_t kBatchRecords = 8;
constexpr absl::Duration kPoll = absl::Milliseconds(100);

AttemptId IdOf(const v1::Attempt& attempt) {
  return {RunId(attempt.run_id()), AttemptNumber(attempt.number())};
}

uint64_t Number(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

int64_t CheckpointInterval(const std::string& key) { return 2 + Number(key) % 4; }

v1::FileFact FactOf(const std::string& name, const std::string& content) {
  v1::FileFact fact;
  fact.set_name(name);
  fact.set_sha256(Sha256Hex(content));
  fact.set_bytes(static_cast<int64_t>(content.size()));
  return fact;
}

}  // namespace

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
      world_.oracle().OnAcknowledged(IdOf(a->assign.attempt()), a->key, a->log, records);
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
  const AttemptId id = IdOf(assign.attempt());
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
  return Find(IdOf(attempt));
}

WorkerProcess::Attempt* WorkerProcess::Find(const AttemptId& id) {
  const auto it = attempts_.find(id);
  return it == attempts_.end() ? nullptr : &it->second;
}

// --- The agent's loop

void WorkerProcess::Advance() {
  if (!agent_up_) return;
  for (auto it = attempts_.begin(); it != attempts_.end();) {
    it = Advance(it->second) ? std::next(it) : attempts_.erase(it);
  }
}

AttemptFacts WorkerProcess::Facts(const Attempt& a) {
  int running = 0;
  for (const auto& [id, other] : attempts_) running += other.phase == Phase::kRunning;
  AttemptFacts facts;
  facts.phase = a.phase;
  facts.stop = a.stop;
  facts.terminated = a.terminated_at.has_value();
  if (a.terminated_at) facts.since_terminated = now() - *a.terminated_at;
  facts.killed = a.killed;
  facts.slot_free = running < info_.slots();
  facts.attached = a.attached && welcomed_;
  facts.log_sent = facts.attached && a.phase == Phase::kEnded &&
                   (!a.cut_reason.empty() || a.sent >= a.log.size());
  facts.log_acknowledged = a.acknowledged == a.sent;
  facts.end_sent = a.end_sent;
  facts.end_acknowledged = a.end_acknowledged;
  return facts;
}

bool WorkerProcess::Advance(Attempt& a) {
  const AttemptId id = IdOf(a.assign.attempt());
  while (true) {
    if (a.phase == Phase::kRunning && a.trainer == 0) {
      Evidence evidence;
      if (!a.adopted) evidence.exit = a.exit;
      if (!a.log.empty() && (a.log.back().has_finished() || a.log.back().has_failed())) {
        evidence.last_word = a.log.back();
      }
      End(a, std::move(evidence));
    }
    switch (NextStep(Facts(a))) {
      case Step::kWait:
        return true;
      case Step::kStart:
        StartTrainer(a);
        break;
      case Step::kTerminate:
        a.stop_file = a.stop_reason;
        a.terminated_at = now();
        InAgent(kStopGrace, [this] { Advance(); });
        OnMachine(world_.random().Within({}, absl::Seconds(2)), [this, id, trainer = a.trainer] {
          Attempt* a = Find(id);
          if (a == nullptr || a->trainer != trainer) return;
          WriteCheckpoint(*a);
          EndTrainer(*a, {.exit_code = kExitStopped});
        });
        break;
      case Step::kKill:
        a.killed = true;
        OnMachine(world_.random().Within({}, absl::Seconds(1)), [this, id, trainer = a.trainer] {
          Attempt* a = Find(id);
          if (a != nullptr && a->trainer == trainer) EndTrainer(*a, {.signal = SIGKILL});
        });
        break;
      case Step::kGiveUp:
        End(a, {});
        break;
      case Step::kSendEvents:
        SendEvents(a);
        return true;
      case Step::kSendEnd: {
        v1::FromWorker message;
        *message.mutable_ended() = *a.ended;
        if (a.ended->succeeded() && !a.cut_reason.empty()) {
          message.mutable_ended()->set_succeeded(false);
          message.mutable_ended()->set_blame(v1::BLAME_MACHINE);
          message.mutable_ended()->set_error(absl::StrCat("finished, but ", a.cut_reason));
        }
        a.end_sent = true;
        world_.oracle().OnEndSent(id);
        stream_->Write(std::move(message));
        break;
      }
      case Step::kDelete:
        return false;
    }
  }
}

void WorkerProcess::SendEvents(Attempt& a) {
  const uint64_t end = std::min<uint64_t>(a.sent + kBatchRecords, a.log.size());
  if (end <= a.sent || stream_ == nullptr || !a.cut_reason.empty()) return;
  v1::FromWorker message;
  v1::EventBatch* batch = message.mutable_events();
  *batch->mutable_attempt() = a.assign.attempt();
  batch->set_begin_offset(a.sent * kRecordBytes);
  batch->set_end_offset(end * kRecordBytes);
  bool complete = true;
  for (uint64_t i = a.sent; i < end; ++i) {
    *batch->add_events() = a.log[i];
    for (const v1::FileFact& file : FilesNamedBy(a.log[i])) complete &= Upload(a, file);
  }
  if (!complete || !a.cut_reason.empty()) return;
  stream_->Write(std::move(message));
  a.sent = end;
  if (end < a.log.size() || a.phase == Phase::kEnded) InAgent(kPoll, [this] { Advance(); });
}

bool WorkerProcess::Upload(Attempt& a, const v1::FileFact& file) {
  enum { kNew, kUnderWay, kDone, kRefused };
  int& state = a.uploads[file.name()];
  if (state != kNew) return state != kUnderWay;
  state = kUnderWay;
  const AttemptId id = IdOf(a.assign.attempt());
  const std::string content = file.name() == kModelFile
                                  ? ProductContent(a.key)
                                  : CheckpointContent(a.key, world_.oracle().StepOf(file.name()));
  world_.Call(
      &link_,
      [id, content, worker = WorkerId(this->id())](Turn& turn) -> absl::Status {
        auto artifact =
            turn.artifacts.Begin(Sha256Hex(content), static_cast<int64_t>(content.size()));
        absl::Status status = artifact.status();
        if (status.ok()) status = (*artifact)->Append(content);
        if (status.ok()) status = (*artifact)->Finish();
        if (status.ok()) status = TakeArtifact(turn, id, worker, **artifact).status();
        return status;
      },
      [this, id, name = file.name(), finished = file.name() == kModelFile,
       agent = agent_](const absl::Status& status) {
        if (agent != agent_) return;
        Attempt* a = Find(id);
        if (a == nullptr) return;
        if (status.ok()) {
          a->uploads[name] = kDone;
        } else if (absl::IsFailedPrecondition(status)) {
          a->uploads[name] = kRefused;
          if (finished) a->cut_reason = "its product could not be uploaded";
        } else {
          a->uploads.erase(name);
        }
        InAgent(kPoll, [this] { Advance(); });
      });
  return false;
}

void WorkerProcess::End(Attempt& a, Evidence evidence) {
  if (a.stop != StopWish::kNone) evidence.stop_reason = a.stop_reason;
  a.ended = Judge(evidence);
  *a.ended->mutable_attempt() = a.assign.attempt();
  a.phase = Phase::kEnded;
}

// --- The trainer

void WorkerProcess::StartTrainer(Attempt& a) {
  a.started = true;
  a.trainer = ++last_trainer_;
  a.phase = Phase::kRunning;
  a.step = a.assign.resume_step();
  int64_t bytes = 0;
  for (const auto& [id, other] : attempts_) bytes += other.trainer != 0 ? other.memory_bytes : 0;
  if (bytes > info_.memory_bytes()) {
    world_.Violated(absl::StrCat(info_.id(), ": its trainers need ", bytes, " of ",
                                 info_.memory_bytes(), " bytes"));
  }
  v1::Event started;
  started.mutable_started()->set_resume_step(a.step);
  started.mutable_started()->set_total_steps(TotalSteps(a.key));
  a.log.push_back(std::move(started));
  OnMachine(step_time_,
            [this, id = IdOf(a.assign.attempt()), trainer = a.trainer] { Train(id, trainer); });
}

void WorkerProcess::WriteCheckpoint(Attempt& a) {
  v1::Event event;
  event.mutable_checkpoint()->set_step(a.step);
  *event.mutable_checkpoint()->mutable_file() =
      FactOf(absl::StrCat("checkpoint-", a.step, ".safetensors"), CheckpointContent(a.key, a.step));
  a.log.push_back(std::move(event));
}

void WorkerProcess::Train(const AttemptId& id, int trainer) {
  Attempt* a = Find(id);
  if (a == nullptr || a->trainer != trainer) return;
  Random& random = world_.random();
  v1::Event event;
  const auto fail = [&](v1::Blame blame) {
    event.mutable_failed()->set_blame(blame);
    event.mutable_failed()->set_message("it cannot go on");
    a->log.push_back(event);
    EndTrainer(*a, {.exit_code = kExitFailed});
  };
  if (!world_.fair()) {
    if (random.Chance(0.01)) return EndTrainer(*a, {.signal = SIGSEGV});
    if (random.Chance(0.005)) return fail(v1::BLAME_RESOURCES);
    if (random.Chance(0.003)) return;  // hangs
  }
  if (a->step == 3 && FailsByConfig(a->key)) return fail(v1::BLAME_CONFIG);
  if (a->step >= TotalSteps(a->key)) {
    v1::RunResult* result = event.mutable_finished()->mutable_result();
    result->set_steps(a->step);
    result->mutable_best()->set_loss(Loss(a->key, a->step));
    *result->add_files() = FactOf(kModelFile, ProductContent(a->key));
    a->log.push_back(event);
    return EndTrainer(*a, {});
  }
  ++a->step;
  event.mutable_metrics()->set_step(a->step);
  v1::Point* loss = event.mutable_metrics()->add_points();
  loss->set_name("loss");
  loss->set_value(Loss(a->key, a->step));
  v1::Point* by = event.mutable_metrics()->add_points();
  by->set_name("by_attempt");
  by->set_value(id.number.value());
  a->log.push_back(event);
  if (a->step % CheckpointInterval(a->key) == 0) WriteCheckpoint(*a);
  InAgent(kPoll, [this] { Advance(); });
  OnMachine(step_time_, [this, id, trainer] { Train(id, trainer); });
}

void WorkerProcess::EndTrainer(Attempt& a, ExitStatus exit) {
  a.trainer = 0;
  a.exit = exit;
  InAgent(kPoll, [this] { Advance(); });
}

}  // namespace qsweep::simulation
