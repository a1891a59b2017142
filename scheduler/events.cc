#include "scheduler/events.h"

#include <algorithm>

#include "common/attempt_id.h"
#include "common/log.h"
#include "common/spec/memory_estimate.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/utf8.h"
#include "scheduler/core/reactor.h"
#include "scheduler/requests.h"
#include "storage/artifacts.h"
#include "storage/attempts.h"
#include "storage/logs.h"
#include "storage/measurements.h"
#include "storage/metrics.h"
#include "storage/runs.h"

namespace qsweep {
namespace {

// A trainer is our own program; these keep a damaged one from filling the disk.
constexpr size_t kMaxNameBytes = 200;
constexpr size_t kMaxTextBytes = 16 << 10;
// Runs so short teach nothing new each.
constexpr int64_t kMeasuredAnewUs = 60'000'000;
constexpr int64_t kKeptCheckpoints = 2;  // should the newest be damaged on the way

bool InStore(Turn& turn, const std::string& sha256) {
  const auto row = storage::ReadArtifact(turn.database(), sha256);
  return row.ok() && row->has_value();
}

// Stores events of one live attempt, in order.
class EventWriter {
 public:
  // `results` are those of the finished events to come, in order.
  EventWriter(Turn& turn, core::Run& run, const std::vector<storage::StoredResult>& results)
      : turn_(turn),
        t_(turn.transaction),
        run_(run),
        attempt_(run.last_attempt()),
        next_result_(results.begin()) {}

  absl::Status Write(const v1::Event& event) {
    switch (event.kind_case()) {
      case v1::Event::kStarted:
        total_steps_ = event.started().total_steps();
        return absl::OkStatus();
      case v1::Event::kMetrics:
        return Write(event.metrics());
      case v1::Event::kCheckpoint:
        return Write(event.checkpoint());
      case v1::Event::kQuantization:
        return storage::PutQuantization(t_, run_.id, event.quantization());
      case v1::Event::kLog:
        return Log(event, event.log().level(), event.log().text());
      case v1::Event::kFinished:
        return Write(event.finished().result(), *next_result_++);
      case v1::Event::kFailed:
        return Log(event, "error", event.failed().message());
      case v1::Event::KIND_NOT_SET:
        return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  int64_t last_step() const { return last_step_; }
  int64_t total_steps() const { return total_steps_; }

 private:
  absl::Status Write(const v1::Metrics& metrics) {
    last_step_ = std::max(last_step_, metrics.step());
    for (const v1::Point& point : metrics.points()) {
      if (point.name().empty() || point.name().size() > kMaxNameBytes || metrics.step() < 0) {
        LogWarning(LogTag(attempt_) + "a metric without a proper name and step; left out");
        continue;
      }
      RETURN_IF_ERROR(
          storage::PutMetric(t_, attempt_, {point.name(), metrics.step(), point.value()}));
    }
    return absl::OkStatus();
  }

  absl::Status Write(const v1::CheckpointWritten& checkpoint) {
    last_step_ = std::max(last_step_, checkpoint.step());
    // The worker may have been away until the trainer had deleted it again.
    if (!InStore(turn_, checkpoint.file().sha256()) || checkpoint.step() <= run_.resume_step) {
      return absl::OkStatus();
    }
    const auto role = storage::ArtifactRole::kCheckpoint;
    RETURN_IF_ERROR(storage::PutArtifactRef(t_, run_.id, role, checkpoint.file().name(),
                                            checkpoint.step(), checkpoint.file().sha256()));
    ASSIGN_OR_RETURN(const std::vector<std::string> forgotten,
                     storage::DropArtifactRefs(t_, run_.id, role, kKeptCheckpoints));
    turn_.RemoveArtifacts(forgotten);
    core::OnCheckpoint(turn_.state, run_, checkpoint.step(), turn_.effects);
    return absl::OkStatus();
  }

  // Only if all its files are there: a run without its products has not succeeded.
  absl::Status Write(const v1::RunResult& result, const storage::StoredResult& stored) {
    for (const v1::FileFact& file : result.files()) {
      if (!InStore(turn_, file.sha256())) {
        const std::string text = absl::StrCat(file.name(), " is not in the store: result refused");
        LogWarning(LogTag(attempt_) + text);
        return storage::AddHistory(t_, attempt_, turn_.unix_us, text);
      }
    }
    for (const v1::FileFact& file : result.files()) {
      RETURN_IF_ERROR(storage::PutArtifactRef(t_, run_.id, storage::ArtifactRole::kProduct,
                                              file.name(), 0, file.sha256()));
    }
    last_step_ = std::max(last_step_, result.steps());
    RETURN_IF_ERROR(storage::PutResult(t_, attempt_, stored));
    return Learn(result);
  }

  // What the run has measured, for the next ones of its kind.
  absl::Status Learn(const v1::RunResult& result) {
    const v1::MemoryAccount& memory = result.memory();
    const std::string& device = result.provenance().device();
    const bool on_cpu = device.empty() || device == "cpu";
    const int64_t peak_bytes = on_cpu ? memory.rss_peak_bytes() : memory.held_bytes();
    if (run_.kind.empty() || peak_bytes <= 0 || peak_bytes > kMaxMachineBytes ||
        memory.micro_batch() <= 0) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const bool known, storage::IsMeasured(turn_.database(), run_.kind, run_.worker,
                                                           memory.micro_batch(), peak_bytes,
                                                           turn_.unix_us - kMeasuredAnewUs));
    if (known) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto row, storage::ReadSpec(turn_.database(), run_.key));
    if (!row.has_value()) return absl::OkStatus();
    const absl::StatusOr<v1::ExperimentSpec> parsed = ParseSpecJson(row->json);
    if (!parsed.ok()) return absl::OkStatus();  // of a release with other rules: nothing to learn
    v1::ExperimentSpec spec = *parsed;
    spec.mutable_training()->set_gradient_checkpointing(memory.gradient_checkpointing());
    const double images = static_cast<double>(result.steps()) * spec.dataset().batch_size();
    const double images_per_s = core::KnownRate(images / result.train_seconds());
    if (images_per_s == 0) return absl::OkStatus();
    const storage::MeasurementRow measured{run_.kind,
                                           run_.worker,
                                           memory.micro_batch(),
                                           peak_bytes,
                                           EstimatePeakBytes(spec, memory.micro_batch()),
                                           images_per_s};
    core::OnMeasured(turn_.state, turn_.now, measured.kind, measured.worker,
                     measured.peak_bytes - measured.estimated_bytes, measured.images_per_s);
    return storage::PutMeasurement(t_, measured, turn_.unix_us);
  }

  absl::Status Log(const v1::Event& event, absl::string_view level, absl::string_view text) {
    return storage::AddLog(t_, attempt_, event.unix_us(),
                           HasControl(level) ? "error" : Beginning(level, kMaxNameBytes),
                           Beginning(text, kMaxTextBytes));
  }

  Turn& turn_;
  storage::Transaction& t_;
  core::Run& run_;
  const AttemptId attempt_;
  std::vector<storage::StoredResult>::const_iterator next_result_;
  int64_t last_step_ = 0;
  int64_t total_steps_ = 0;
};

// Both 0 and 8 mean the first record (common/event_log.h).
bool SamePlace(uint64_t a, uint64_t b) {
  return std::max<uint64_t>(a, 8) == std::max<uint64_t>(b, 8);
}

absl::Status StoreBatch(Turn& turn, core::Run& run, const v1::EventBatch& batch,
                        const std::vector<storage::StoredResult>& results) {
  EventWriter writer(turn, run, results);
  for (const v1::Event& event : batch.events()) RETURN_IF_ERROR(writer.Write(event));
  RETURN_IF_ERROR(storage::AdvanceAckedOffset(turn.transaction, run.last_attempt(),
                                              run.acked_offset, batch.end_offset()));
  core::OnEvents(run, turn.now, batch.end_offset(), writer.last_step(), writer.total_steps());
  return storage::SetRunProgress(turn.transaction, run.id, run.step, run.total_steps);
}

}  // namespace

void TakeEvents(Turn& turn, core::SessionNumber session, const v1::EventBatch& batch,
                const std::vector<storage::StoredResult>& results) {
  const AttemptId attempt = FromProto(batch.attempt());
  core::OnContact(turn.state, turn.now, session);
  core::Run* run = core::FindLive(turn.state, session, attempt);
  if (run == nullptr) {
    core::RefuseAttempt(turn.state, session, attempt, turn.effects);
    return;
  }
  const bool in_place = SamePlace(batch.begin_offset(), run->acked_offset);
  if (in_place && batch.end_offset() == batch.begin_offset()) {
    core::OnUploadPutOff(turn.state, turn.now, run->id);  // its files are still on their way
  } else if (in_place && batch.end_offset() > batch.begin_offset()) {
    if (const absl::Status status = StoreBatch(turn, *run, batch, results); !status.ok()) {
      LogError(LogTag(attempt) + std::string(status.message()));  // the commit will fail
    }
    turn.Touch(run->id);
  }
  core::Outgoing& out = turn.effects.messages.emplace_back();
  out.session = session;
  *out.message.mutable_events_ack()->mutable_attempt() = batch.attempt();
  out.message.mutable_events_ack()->set_offset(run->acked_offset);
}

absl::Status CheckUploader(Turn& turn, const AttemptId& attempt, const WorkerId& worker) {
  const core::Run* run = core::FindRun(turn.state, attempt.run);
  if (run == nullptr || run->state != v1::RUN_STATE_RUNNING || run->attempt != attempt.number) {
    return absl::FailedPreconditionError(
        absl::StrCat(LogTag(attempt), "not a live attempt: its uploads are refused"));
  }
  if (worker == WorkerId() || worker == run->worker) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(LogTag(attempt), "not this worker's attempt: its uploads are refused"));
}

absl::StatusOr<bool> TakeArtifact(Turn& turn, const AttemptId& attempt, const WorkerId& worker,
                                  IncomingArtifact& artifact) {
  RETURN_IF_ERROR(CheckUploader(turn, attempt, worker));
  ASSIGN_OR_RETURN(const auto row, storage::ReadArtifact(turn.database(), artifact.sha256()));
  RETURN_IF_ERROR(turn.artifacts.Keep(artifact));  // the file that is there may be unreadable
  RETURN_IF_ERROR(storage::InsertArtifact(turn.transaction, {artifact.sha256(), artifact.bytes()}));
  RETURN_IF_ERROR(storage::PutArtifactRef(turn.transaction, attempt.run,
                                          storage::ArtifactRole::kUpload, artifact.sha256(), 0,
                                          artifact.sha256()));
  return !row.has_value();
}

absl::Status SkipCheckpoint(Turn& turn, const std::string& sha256) {
  ASSIGN_OR_RETURN(const auto checkpoints,
                   storage::ListRunsWithCheckpoint(turn.database(), sha256));
  for (const auto& [id, step] : checkpoints) {
    core::Run& run = turn.state.runs.at(id);
    if (step != run.resume_step) continue;
    ASSIGN_OR_RETURN(const auto left, storage::ReadCheckpoint(turn.database(), id, step - 1));
    core::OnCheckpointLost(run, left.has_value() ? left->step : 0, turn.effects);
    turn.Touch(id);
  }
  return absl::OkStatus();
}

absl::Status LoseArtifact(Turn& turn, const std::string& sha256) {
  if (!InStore(turn, sha256)) return absl::OkStatus();  // known already
  LogError(absl::StrCat("artifact ", sha256, ": its file is damaged or gone"));
  if (const absl::Status aside = turn.artifacts.SetDamagedAside(sha256); !aside.ok()) {
    LogWarning(aside.message());  // the next start takes it for whole, until it is fetched again
  }
  RETURN_IF_ERROR(SkipCheckpoint(turn, sha256));
  RETURN_IF_ERROR(storage::LoseArtifact(turn.transaction, sha256));
  ASSIGN_OR_RETURN(const auto products, storage::ListLostProducts(turn.database()));
  for (const auto& [id, name] : products) {
    core::OnProductLost(turn.state, turn.now, id, name, turn.effects);
    turn.Touch(id);
  }
  return absl::OkStatus();
}

}  // namespace qsweep
