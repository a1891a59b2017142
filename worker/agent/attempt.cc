#include "worker/agent/attempt.h"

#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/attempt_id.h"
#include "common/file.h"
#include "common/log.h"
#include "common/proto_json.h"
#include "common/status.h"
#include "common/utf8.h"

namespace qsweep {
namespace {

constexpr absl::Duration kTransferPause = absl::Seconds(1);
constexpr absl::Duration kMovingInterval = absl::Seconds(10);
constexpr int64_t kLogTailBytes = 16 << 10;
constexpr int64_t kMaxEndedBytes = 1 << 20;
constexpr int64_t kMaxStopBytes = 64 << 10;
// Less than a checkpoint of the smallest model needs.
constexpr int64_t kDiskFullBytes = 1 << 20;

}  // namespace

Attempt::Attempt(const AttemptEnvironment& environment, const v1::Assign& assign)
    : environment_(environment),
      id_(FromProto(assign.attempt())),
      assign_(assign),
      directory_(environment.state.AttemptPath(id_)),
      memory_kills_before_(environment.machine.OutOfMemoryKills()),
      tail_(JoinPath(directory_, kEventsFile)) {
  *progress_.mutable_attempt() = assign.attempt();
}

std::unique_ptr<Attempt> Attempt::FromAssign(const AttemptEnvironment& environment,
                                             const v1::Assign& assign) {
  std::unique_ptr<Attempt> attempt(new Attempt(environment, assign));
  attempt->attached_ = true;
  attempt->Prepare();
  return attempt;
}

std::unique_ptr<Attempt> Attempt::FromDirectory(const AttemptEnvironment& environment,
                                                const v1::Assign& assign) {
  std::unique_ptr<Attempt> attempt(new Attempt(environment, assign));
  const std::string& directory = attempt->directory_;
  if (const auto reason = ReadFile(JoinPath(directory, kStopFile), kMaxStopBytes); reason.ok()) {
    attempt->stop_ = StopWish::kCheckpoint;
    attempt->stop_reason_ = *reason;
  }
  const auto ended = ReadFile(JoinPath(directory, kEndedFile), kMaxEndedBytes);
  if (ended.ok() && FromJson(*ended, &attempt->ended_).ok()) {
    attempt->phase_ = Phase::kEnded;
  } else if (Trainer::WasStarted(directory)) {
    attempt->phase_ = Phase::kRunning;
    attempt->trainer_ = Trainer::Adopt(directory);
  } else {
    attempt->phase_ = Phase::kReady;
  }
  return attempt;
}

void Attempt::Attach(uint64_t acked_offset) {
  attached_ = true;
  tail_.Rewind(acked_offset);
  // What is sent again names files again, and this scheduler may not have what another one had.
  for (auto it = transfers_.begin(); it != transfers_.end();) {
    it = it->second.code == TransferState::kDone && phase_ != Phase::kPreparing
             ? transfers_.erase(it)
             : std::next(it);
  }
}

void Attempt::Detach() { attached_ = end_sent_ = false; }

void Attempt::Stop(const std::string& reason, bool checkpoint) {
  const StopWish wish = checkpoint ? StopWish::kCheckpoint : StopWish::kDiscard;
  if (wish <= stop_) return;
  stop_ = wish;
  stop_reason_ = reason;
  LogInfo(absl::StrCat(LogTag(id_), checkpoint ? "to be stopped: " : "to be discarded: ", reason));
}

void Attempt::OnEventsAck(uint64_t offset) { tail_.Acknowledge(offset); }

const Attempt::TransferState& Attempt::Request(Direction direction, const std::string& path,
                                               const std::string& sha256, int64_t bytes) {
  const auto [it, added] = transfers_.try_emplace(path);
  TransferState& state = it->second;
  const bool again =
      state.code == TransferState::kWaiting && environment_.clock.Monotonic() >= state.retry_at;
  if (added || again) {
    state.code = TransferState::kUnderWay;
    environment_.transfer({direction, id_, path, sha256, bytes});
  }
  return state;
}

void Attempt::OnTransfer(const Transfer& transfer, const TransferResult& result) {
  const auto it = transfers_.find(transfer.path);
  if (it == transfers_.end()) return;
  TransferState& state = it->second;
  const bool again = result.code == TransferResult::kTryAgain;
  const bool told = again && std::exchange(state.told, result.cause) == result.cause;
  const std::string name = std::filesystem::path(transfer.path).filename();
  if (transfer.direction == Direction::kUpload && result.code == TransferResult::kLocalError) {
    LogInfo(absl::StrCat(LogTag(id_), name,
                         ": gone before it was sent; of checkpoints the trainer keeps the newest"));
  } else if (result.code != TransferResult::kDone && !told) {
    LogWarning(
        absl::StrCat(LogTag(id_), name, ": ", result.message, again ? "; trying again" : ""));
  }
  state.message = result.message;
  switch (result.code) {
    case TransferResult::kDone:
      state.code = TransferState::kDone;
      break;
    case TransferResult::kTryAgain:
      state.code = TransferState::kWaiting;
      state.retry_at = environment_.clock.Monotonic() + kTransferPause;
      break;
    case TransferResult::kRefused:
    case TransferResult::kLocalError:
      state.code = TransferState::kLost;
      break;
  }
  if (phase_ == Phase::kPreparing && state.code == TransferState::kLost) {
    // What the scheduler named and does not have is its own fault, not this machine's.
    EndUnstarted(absl::StrCat("fetching ", transfer.path, ": ", result.message),
                 result.code == TransferResult::kRefused);
  }
}

void Attempt::Prepare() {
  absl::StatusOr<std::string> directory = environment_.state.Prepare(assign_);
  if (!directory.ok()) return EndUnstarted(directory.status().message());
  directory_ = *std::move(directory);
  Fetch();
}

void Attempt::Fetch() {
  bool complete = true;
  const auto fetch = [this, &complete](bool wanted, const v1::ArtifactRef& artifact,
                                       const char* name) {
    if (!wanted) return;
    complete &= Request(Direction::kDownload, JoinPath(directory_, name), artifact.sha256(),
                        artifact.bytes())
                    .code == TransferState::kDone;
  };
  fetch(assign_.has_resume_from(), assign_.resume_from(), kResumeFile);
  fetch(assign_.has_weights(), assign_.weights(), kWeightsFile);
  if (!complete) return;
  if (const absl::Status status = environment_.state.Commit(id_); !status.ok()) {
    return EndUnstarted(status.message());
  }
  directory_ = environment_.state.AttemptPath(id_);
  transfers_.clear();
  phase_ = Phase::kReady;
}

void Attempt::Start() {
  TrainerOptions options = environment_.trainer;
  if (assign_.memory_bytes() > 0) options.memory_limit_bytes = assign_.memory_bytes();
  absl::StatusOr<Trainer> trainer = Trainer::Start(directory_, options);
  if (!trainer.ok()) return EndUnstarted(trainer.status().message());
  trainer_ = *std::move(trainer);
  phase_ = Phase::kRunning;
  LogInfo(absl::StrCat(LogTag(id_), assign_.run_name(), ": trainer started, process ",
                       trainer_->pid(), ", from step ", assign_.resume_step()));
}

void Attempt::Terminate() {
  // Written first: an agent that comes after this one must know why the trainer ended.
  const absl::Status status = WriteFileAtomic(JoinPath(directory_, kStopFile), stop_reason_);
  if (!status.ok()) LogWarning(absl::StrCat(LogTag(id_), status.message()));
  if (trainer_->Signal(SIGTERM)) terminated_at_ = environment_.clock.Monotonic();
}

void Attempt::CheckTrainer() {
  if (phase_ != Phase::kRunning || trainer_->Alive()) return;
  Evidence evidence;
  evidence.exit = trainer_->exit();
  auto last_word = ReadLastWord(JoinPath(directory_, kEventsFile));
  if (last_word.ok()) {
    evidence.last_word = *std::move(last_word);
  } else {
    OnLogError(last_word.status());
    // What cannot be read now may say later that the run is done.
    if (cut_reason_.empty() && stop_ != StopWish::kDiscard) return;
  }
  evidence.out_of_memory_kill = environment_.machine.OutOfMemoryKills() > memory_kills_before_;
  evidence.disk_full = FreeDiskBytes(directory_).value_or(kDiskFullBytes) < kDiskFullBytes;
  End(std::move(evidence));
}

void Attempt::End(Evidence evidence) {
  if (stop_ != StopWish::kNone) evidence.stop_reason = stop_reason_;
  ended_ = Judge(evidence);
  *ended_.mutable_attempt() = assign_.attempt();
  MakeUtf8(&ended_);
  if (!ended_.succeeded()) {
    ended_.set_log_tail(TextTail(JoinPath(directory_, kOutputFile), kLogTailBytes));
  }
  phase_ = Phase::kEnded;
  LogInfo(absl::StrCat(LogTag(id_), ended_.succeeded() ? "finished" : ended_.error()));
  // Kept for the agent that comes after this one, which could not learn all of it again. Not so for
  // an attempt that never became one: its directory will be swept.
  if (directory_ != environment_.state.AttemptPath(id_)) return;
  const absl::Status status =
      WriteFileAtomic(JoinPath(directory_, kEndedFile), ToJson(ended_, JsonStyle::kPretty));
  if (!status.ok()) LogWarning(absl::StrCat(LogTag(id_), status.message()));
}

void Attempt::EndUnstarted(absl::string_view why, bool input_refused) {
  Evidence evidence;
  evidence.start_error = std::string(why);
  evidence.input_refused = input_refused;
  End(std::move(evidence));
}

bool Attempt::Upload(const v1::EventBatch& batch) {
  bool complete = true;
  for (const v1::Event& event : batch.events()) {
    for (const v1::FileFact& file : FilesNamedBy(event)) {
      const TransferState& state = Request(Direction::kUpload, JoinPath(directory_, file.name()),
                                           file.sha256(), file.bytes());
      if (state.code == TransferState::kLost) {
        // A checkpoint that was pruned meanwhile is no loss: a newer one follows.
        if (event.has_finished()) {
          cut_reason_ = absl::StrCat(file.name(), " could not be uploaded: ", state.message);
        }
      } else if (state.code != TransferState::kDone) {
        complete = false;
      }
    }
  }
  return complete && cut_reason_.empty();
}

// Damage is for ever; too many open files or a file server that is away pass.
void Attempt::OnLogError(const absl::Status& status) {
  if (absl::IsDataLoss(status)) cut_reason_ = std::string(status.message());
  if (std::exchange(log_error_, status) == status) return;
  LogError(absl::StrCat(LogTag(id_), status.message()));
}

void Attempt::SendEvents() {
  if (!cut_reason_.empty()) return;
  const absl::StatusOr<std::optional<v1::EventBatch>> next = tail_.Next();
  if (!next.ok()) return OnLogError(next.status());
  if (!next->has_value() || !Upload(**next)) return;
  v1::FromWorker message;
  *message.mutable_events() = **next;
  *message.mutable_events()->mutable_attempt() = assign_.attempt();
  environment_.send(std::move(message));
  tail_.Sent(**next);
}

void Attempt::OnFilesMove() {
  const bool any = std::any_of(transfers_.begin(), transfers_.end(), [](const auto& entry) {
    return entry.second.code == TransferState::kUnderWay ||
           entry.second.code == TransferState::kWaiting;
  });
  const absl::Duration now = environment_.clock.Monotonic();
  if (!attached_ || !any || (moving_told_at_ && now - *moving_told_at_ < kMovingInterval)) return;
  moving_told_at_ = now;
  v1::FromWorker message;
  *message.mutable_events()->mutable_attempt() = assign_.attempt();
  message.mutable_events()->set_begin_offset(tail_.sent());
  message.mutable_events()->set_end_offset(tail_.sent());
  environment_.send(std::move(message));
}

bool Attempt::LogSent() {
  if (!cut_reason_.empty()) return true;
  const absl::StatusOr<bool> at_end = tail_.AtEnd();
  if (!at_end.ok()) OnLogError(at_end.status());
  return at_end.ok() ? *at_end : !cut_reason_.empty();
}

void Attempt::SendEnd() {
  v1::FromWorker message;
  v1::AttemptEnded& ended = *message.mutable_ended();
  ended = ended_;
  if (ended.succeeded() && !cut_reason_.empty()) {
    ended.set_succeeded(false);
    ended.set_blame(v1::BLAME_MACHINE);
    ended.set_error(absl::StrCat("finished, but ", cut_reason_));
    MakeUtf8(&ended);
  }
  environment_.send(std::move(message));
  end_sent_ = true;
}

AttemptFacts Attempt::Facts(bool slot_free) {
  AttemptFacts facts;
  facts.phase = phase_;
  facts.stop = stop_;
  facts.terminated = terminated_at_.has_value();
  if (terminated_at_) facts.since_terminated = environment_.clock.Monotonic() - *terminated_at_;
  facts.killed = killed_;
  facts.slot_free = slot_free;
  facts.attached = attached_;
  facts.log_sent = attached_ && phase_ == Phase::kEnded && LogSent();
  facts.log_acknowledged = tail_.AllAcknowledged();
  facts.end_sent = end_sent_;
  facts.end_acknowledged = end_acknowledged_;
  return facts;
}

bool Attempt::Advance(bool slot_free) {
  if (phase_ == Phase::kPreparing) Fetch();
  while (true) {
    CheckTrainer();
    switch (NextStep(Facts(slot_free))) {
      case Step::kWait:
        return true;
      case Step::kStart:
        Start();
        break;
      case Step::kTerminate:
        Terminate();
        if (!terminated_at_) return true;  // its pid is not known yet
        break;
      case Step::kKill:
        killed_ = trainer_->Signal(SIGKILL);
        if (!killed_) return true;
        break;
      case Step::kGiveUp:
        End({});
        break;
      case Step::kSendEvents:
        // One batch a turn: a trainer that writes as fast as this reads must not hold up the rest.
        SendEvents();
        return true;
      case Step::kSendEnd:
        SendEnd();
        break;
      case Step::kDelete:
        if (const absl::Status status = environment_.state.Remove(id_); !status.ok()) {
          LogWarning(absl::StrCat(LogTag(id_), status.message()));
        }
        return false;
    }
  }
}

void Attempt::Learn(const v1::Event& event) {
  if (event.has_started()) progress_.set_total_steps(event.started().total_steps());
  if (!event.has_metrics()) return;
  progress_.set_step(std::max(progress_.step(), event.metrics().step()));
  for (const v1::Point& point : event.metrics().points()) {
    if (point.name() == "images_per_s") progress_.set_images_per_s(point.value());
  }
}

void Attempt::Sample() {
  for (const v1::Event& event : tail_.News()) Learn(event);
  const ProcessUse use = phase_ == Phase::kRunning
                             ? sampler_.Sample(trainer_->pid(), environment_.clock)
                             : ProcessUse{};
  progress_.set_rss_bytes(use.rss_bytes);
  progress_.set_cpu_cores(use.cpu_cores);
}

}  // namespace qsweep
