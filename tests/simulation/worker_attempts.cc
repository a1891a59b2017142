#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/attempt_id.h"
#include "common/hash.h"
#include "scheduler/events.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/worker_process.h"
#include "worker/agent/event_tail.h"

namespace qsweep::simulation {
namespace {

constexpr size_t kBatchRecords = 8;

v1::FileFact FactOf(const std::string& name, const std::string& content) {
  v1::FileFact fact;
  fact.set_name(name);
  fact.set_sha256(Sha256Hex(content));
  fact.set_bytes(static_cast<int64_t>(content.size()));
  return fact;
}

}  // namespace

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
  const AttemptId id = FromProto(a.assign.attempt());
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
  const AttemptId id = FromProto(a.assign.attempt());
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
  OnMachine(step_time_, [this, id = FromProto(a.assign.attempt()), trainer = a.trainer] {
    Train(id, trainer);
  });
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
