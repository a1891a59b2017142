#include "worker/engine/train/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/spec/models.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/data/loader.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/checkpoint.h"
#include "worker/engine/train/evaluation.h"
#include "worker/engine/train/gradient_stats.h"
#include "worker/engine/train/memory_account.h"
#include "worker/engine/train/products.h"
#include "worker/engine/train/schedule.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/statistics.h"
#include "worker/engine/train/step.h"
#include "worker/engine/train/weights.h"

namespace qsweep::engine {
namespace {

constexpr size_t kCheckpointsKept = 2;

double SecondsSince(absl::Duration begin) {
  return absl::ToDoubleSeconds(SystemClock().Monotonic() - begin);
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The loader decodes while a step holds the most memory; with the step over there may be enough.
Batch NextBatch(TrainingLoader& loader) {
  try {
    return loader.Next();
  } catch (const OutOfMemory&) {
    ReleaseCached();
  }
  return loader.Next();
}

class Trainer {
 public:
  Trainer(const v1::ExperimentSpec& spec, const TrainOptions& options,
          const std::function<bool()>& stop, Reporter& reporter)
      : spec_(spec), options_(options), stop_(stop), reporter_(reporter) {}

  absl::StatusOr<TrainOutcome> Run();

 private:
  absl::Status Prepare();
  absl::Status LoadData();
  absl::Status MakeModel();
  absl::Status Resume();
  absl::Status Plan();
  absl::Status Announce();
  // Of the step that is the `steps_done`th, from 1.
  int64_t EpochOf(int64_t steps_done) const;
  bool EpochAwaitsEvaluation() const;
  bool Done() const;
  bool StoppedEarly() const;
  absl::Status TakeStep();
  absl::Status CheckLoss(double loss, double learning_rate) const;
  absl::Status EndWindow(double learning_rate);
  absl::Status EvaluateEpoch();
  void KeepBest();
  absl::Status SaveCheckpoint();
  absl::Status Finish();
  v1::RunResult MakeResult() const;

  const v1::ExperimentSpec& spec_;
  const TrainOptions& options_;
  const std::function<bool()>& stop_;
  Reporter& reporter_;

  int threads_ = 0;
  int64_t limit_bytes_ = 0;
  int64_t data_bytes_ = 0;
  int64_t total_steps_ = 0;
  Dataset training_data_, evaluation_data_;
  ComputeType compute_;
  v1::QuantizationFacts quantization_;
  v1::Provenance provenance_;
  Trainee trainee_;
  std::optional<ImageTransform> evaluation_transform_;
  std::unique_ptr<TrainingLoader> loader_;

  v1::TrainerState state_;  // with the tensors, all that a checkpoint holds
  BestValues best_;
  std::optional<GradientStats> gradients_;

  // Of this attempt alone.
  int64_t resume_step_ = 0;
  int64_t rss_before_bytes_ = 0;
  bool unsaved_ = true;
  std::vector<std::string> checkpoints_;
  std::vector<double> step_rates_;  // images per second
  double window_seconds_ = 0;
  int64_t window_images_ = 0;
};

absl::StatusOr<TrainOutcome> Trainer::Run() {
  RETURN_IF_ERROR(Prepare());
  while (!Done()) {
    if (stop_()) {
      RETURN_IF_ERROR(SaveCheckpoint());
      return TrainOutcome::kStopped;
    }
    if (EpochAwaitsEvaluation()) {
      const absl::Status status = EvaluateEpoch();
      if (absl::IsCancelled(status)) continue;
      RETURN_IF_ERROR(status);
      RETURN_IF_ERROR(SaveCheckpoint());
      continue;
    }
    RETURN_IF_ERROR(TakeStep());
    // At the end of an epoch the checkpoint follows the evaluation: one file a step.
    const int64_t interval = spec_.training().checkpoint_interval();
    if (interval > 0 && state_.step() % interval == 0 && !EpochAwaitsEvaluation()) {
      RETURN_IF_ERROR(SaveCheckpoint());
    }
  }
  RETURN_IF_ERROR(Finish());
  return TrainOutcome::kFinished;
}

absl::Status Trainer::Prepare() {
  threads_ = ConfigureThreads(options_.threads);
  limit_bytes_ =
      options_.memory_limit_bytes > 0 ? options_.memory_limit_bytes : CgroupMemoryLimit();
  RETURN_IF_ERROR(LoadData());
  RETURN_IF_ERROR(MakeModel());
  state_.set_run_key(RunKey(spec_));
  *state_.mutable_inputs() =
      DescribeInputs(provenance_.weights_sha256(), training_data_, evaluation_data_);
  if (!options_.resume_file.empty()) RETURN_IF_ERROR(Resume());
  RETURN_IF_ERROR(Plan());
  gradients_.emplace(trainee_.optimizer->slots(), state_.mutable_gradients());
  RETURN_IF_ERROR(Announce());
  ResetPeak();
  rss_before_bytes_ = ResidentBytes();
  loader_->Seek(state_.step());
  return absl::OkStatus();
}

absl::Status Trainer::LoadData() {
  ASSIGN_OR_RETURN(training_data_, LoadDataset(spec_.dataset(), options_.data_root, Split::kTrain));
  ASSIGN_OR_RETURN(evaluation_data_,
                   LoadDataset(spec_.dataset(), options_.data_root, Split::kTest));
  for (const Dataset* data : {&training_data_, &evaluation_data_}) {
    if (data->size() > 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("dataset.classes: ", spec_.dataset().name(), " has no image of them here"));
  }
  data_bytes_ = static_cast<int64_t>(training_data_.pixels.size() + evaluation_data_.pixels.size());
  return LimitTensors(limit_bytes_, data_bytes_);
}

absl::Status Trainer::MakeModel() {
  ASSIGN_OR_RETURN(const std::string weights,
                   FindWeights(spec_.model(), options_.model_root, options_.weights_file));
  compute_ = ChooseComputeType(spec_);
  provenance_ = MakeProvenance(spec_, threads_);
  if (!weights.empty()) {
    provenance_.set_weights_file(weights);
    ASSIGN_OR_RETURN(*provenance_.mutable_weights_sha256(), Sha256HexOfFile(weights));
  }
  ASSIGN_OR_RETURN(trainee_, MakeTrainee(spec_, compute_, training_data_.classes, weights));
  quantization_ = trainee_.model->quantization();
  quantization_.set_compute_dtype_asked(compute_.asked);
  quantization_.set_compute_dtype_used(compute_.used);
  const ModelShape& shape = *FindModel(spec_.model().name());
  evaluation_transform_.emplace(shape, spec_.dataset().image_size(), evaluation_data_);
  loader_ = std::make_unique<TrainingLoader>(spec_, shape, training_data_);
  total_steps_ = loader_->steps_per_epoch() * spec_.training().num_epochs();
  return absl::OkStatus();
}

absl::Status Trainer::Resume() {
  ASSIGN_OR_RETURN(const Checkpoint checkpoint,
                   ReadCheckpoint(options_.resume_file, state_.run_key()));
  RETURN_IF_ERROR(CheckInputs(checkpoint.state.inputs(), state_.inputs()));
  state_ = checkpoint.state;
  resume_step_ = state_.step();
  return RestoreTensors(checkpoint, trainee_.optimizer->slots(), &best_);
}

// A run goes on with the plan it had, for the same rounding, unless there is less memory now.
absl::Status Trainer::Plan() {
  const auto bytes = [](int64_t limit) { return limit == 0 ? INT64_MAX : limit; };
  const bool has_plan = state_.plan().micro_batch() > 0;
  if (has_plan && bytes(limit_bytes_) >= bytes(state_.plan().limit_bytes()))
    return absl::OkStatus();
  ASSIGN_OR_RETURN(*state_.mutable_plan(), MakePlan(spec_, trainee_, limit_bytes_, data_bytes_));
  return absl::OkStatus();
}

absl::Status Trainer::Announce() {
  v1::Started started;
  started.set_resume_step(resume_step_);
  started.set_total_steps(total_steps_);
  started.set_steps_per_epoch(loader_->steps_per_epoch());
  started.set_micro_batch(state_.plan().micro_batch());
  started.set_pid(::getpid());
  RETURN_IF_ERROR(reporter_.Started(started));
  return reporter_.Quantized(quantization_);
}

int64_t Trainer::EpochOf(int64_t steps_done) const {
  return (steps_done - 1) / loader_->steps_per_epoch() + 1;
}

bool Trainer::EpochAwaitsEvaluation() const {
  return state_.step() == (state_.evaluated_epochs() + 1) * loader_->steps_per_epoch();
}

bool Trainer::StoppedEarly() const {
  const int64_t patience = spec_.training().early_stopping_patience();
  return patience > 0 && state_.epochs_without_better() >= patience &&
         state_.evaluated_epochs() < spec_.training().num_epochs();
}

bool Trainer::Done() const {
  return state_.evaluated_epochs() == spec_.training().num_epochs() || StoppedEarly();
}

absl::Status Trainer::TakeStep() {
  const v1::Training& training = spec_.training();
  const absl::Duration begin = SystemClock().Monotonic();
  const int64_t step = state_.step();
  const int64_t planned = state_.plan().micro_batch();
  const double learning_rate = LearningRate(training, step, total_steps_);
  const Batch batch = NextBatch(*loader_);
  ASSIGN_OR_RETURN(const double loss,
                   ComputeGradients(*trainee_.model, *trainee_.optimizer, batch, step,
                                    training.label_smoothing(), state_.mutable_plan()));
  if (state_.plan().micro_batch() < planned) {
    RETURN_IF_ERROR(
        reporter_.Log("warning", absl::StrCat("out of memory in step ", step + 1, ": micro-batch ",
                                              planned, " becomes ", state_.plan().micro_batch())));
  }
  RETURN_IF_ERROR(CheckLoss(loss, learning_rate));
  const std::vector<double> squares = SquaredGradientNorms(trainee_.optimizer->slots());
  RETURN_IF_ERROR(CheckGradients(trainee_.optimizer->slots(), squares, step + 1));
  trainee_.optimizer->Update(step + 1, learning_rate,
                             ClipFactor(GlobalNorm(squares), training.max_grad_norm()));

  gradients_->AddStep(squares);
  Add(loss, state_.mutable_loss());
  state_.set_step(step + 1);
  unsaved_ = true;
  const double seconds = SecondsSince(begin);
  const int64_t images = batch.labels.size(0);
  state_.set_train_seconds(state_.train_seconds() + seconds);
  step_rates_.push_back(static_cast<double>(images) / seconds);
  window_seconds_ += seconds;
  window_images_ += images;
  if (state_.step() % training.log_interval() != 0 && !EpochAwaitsEvaluation()) {
    return absl::OkStatus();
  }
  return EndWindow(learning_rate);
}

absl::Status Trainer::CheckLoss(double loss, double learning_rate) const {
  if (std::isfinite(loss)) return absl::OkStatus();
  const v1::RunningStatistics& norms = state_.gradients().window();
  return absl::InvalidArgumentError(
      absl::StrFormat("step %d: the loss is %g; learning rate %g, mean loss before %g, last "
                      "gradient norms %g to %g; "
                      "lower training.learning_rate or lengthen training.warmup_steps",
                      state_.step() + 1, loss, learning_rate,
                      state_.loss().count() > 0 ? state_.loss().mean() : state_.train_loss(),
                      norms.min(), norms.max()));
}

absl::Status Trainer::EndWindow(double learning_rate) {
  v1::Metrics metrics;
  metrics.set_step(state_.step());
  metrics.set_epoch(EpochOf(state_.step()));
  state_.set_train_loss(state_.loss().mean());
  state_.clear_loss();
  AddPoint("loss", state_.train_loss(), &metrics);
  AddPoint("learning_rate", learning_rate, &metrics);
  AddPoint("images_per_s", static_cast<double>(window_images_) / window_seconds_, &metrics);
  window_images_ = 0;
  window_seconds_ = 0;
  const std::string flag = gradients_->EndWindow(&metrics);
  AddMemoryPoints(&metrics);
  if (!flag.empty()) {
    RETURN_IF_ERROR(reporter_.Log("warning", absl::StrCat("step ", state_.step(), ": ", flag,
                                                          " gradients in the last window")));
  }
  return reporter_.Step(metrics, total_steps_);
}

absl::Status Trainer::EvaluateEpoch() {
  const absl::Duration begin = SystemClock().Monotonic();
  const int64_t epoch = state_.evaluated_epochs() + 1;
  int64_t batch = state_.plan().evaluation_batch();
  const absl::StatusOr<v1::Evaluation> evaluation =
      Evaluate(*trainee_.model, *evaluation_transform_, evaluation_data_, epoch, &batch, stop_);
  state_.mutable_plan()->set_evaluation_batch(batch);
  RETURN_IF_ERROR(evaluation.status());
  if (!std::isfinite(evaluation->loss())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("epoch %d: the evaluation loss is %g; lower training.learning_rate", epoch,
                        evaluation->loss()));
  }
  const bool better = !state_.has_best() || evaluation->loss() < state_.best().loss();
  if (better) {
    *state_.mutable_best() = *evaluation;
    KeepBest();
  }
  *state_.mutable_last() = *evaluation;
  state_.set_epochs_without_better(better ? 0 : state_.epochs_without_better() + 1);
  state_.set_evaluated_epochs(epoch);
  state_.set_train_seconds(state_.train_seconds() + SecondsSince(begin));
  unsaved_ = true;
  return reporter_.Evaluated(*evaluation, state_.step(), better);
}

void Trainer::KeepBest() {
  const auto& slots = trainee_.optimizer->slots();
  best_.resize(slots.size());
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!best_[i].defined()) best_[i] = at::empty_like(slots[i].gradient);
    best_[i].copy_(slots[i].parameter.value);
  }
}

absl::Status Trainer::SaveCheckpoint() {
  if (!unsaved_) return absl::OkStatus();
  v1::CheckpointWritten written;
  written.set_step(state_.step());
  written.set_epoch(EpochOf(std::max<int64_t>(state_.step(), 1)));
  ASSIGN_OR_RETURN(*written.mutable_file(),
                   WriteCheckpoint(options_.directory, state_, trainee_.optimizer->slots(), best_));
  RETURN_IF_ERROR(reporter_.CheckpointWritten(written));
  unsaved_ = false;
  checkpoints_.push_back(JoinPath(options_.directory, written.file().name()));
  if (checkpoints_.size() > kCheckpointsKept) {
    RETURN_IF_ERROR(RemoveTree(checkpoints_.front()));
    checkpoints_.erase(checkpoints_.begin());
  }
  return absl::OkStatus();
}

// The product is the best epoch's model.
absl::Status Trainer::Finish() {
  {
    const auto& slots = trainee_.optimizer->slots();
    for (size_t i = 0; i < slots.size(); ++i) slots[i].parameter.value.copy_(best_[i]);
  }
  v1::RunResult result = MakeResult();
  ASSIGN_OR_RETURN(const std::vector<v1::FileFact> files,
                   WriteProducts(options_.directory, spec_, *trainee_.model));
  result.mutable_files()->Add(files.begin(), files.end());
  result.mutable_provenance()->set_adapter_sha256(files.front().sha256());
  return reporter_.Finished(result);
}

v1::RunResult Trainer::MakeResult() const {
  v1::RunResult result;
  result.set_model(spec_.model().name());
  result.set_method(spec_.training().method());
  result.set_epochs(state_.evaluated_epochs());
  result.set_steps(state_.step());
  result.set_stopped_early(StoppedEarly());
  result.set_best_epoch(state_.best().epoch());
  *result.mutable_best() = state_.best();
  *result.mutable_final() = state_.last();
  result.set_final_train_loss(state_.train_loss());
  result.set_total_parameters(trainee_.model->total_parameters());
  result.set_trainable_parameters(trainee_.model->trainable_parameters());
  result.set_adapted_modules(static_cast<int32_t>(trainee_.model->adapted_modules().size()));
  *result.mutable_quantization() = quantization_;
  v1::MemoryAccount& memory = *result.mutable_memory();
  memory = CurrentMemoryAccount(spec_, state_.plan());
  memory.set_rss_before_bytes(rss_before_bytes_);
  *result.mutable_gradients() = gradients_->Summary();
  *result.mutable_provenance() = provenance_;
  result.set_train_seconds(state_.train_seconds());
  result.set_images_per_s(Median(step_rates_));
  return result;
}

}  // namespace

absl::StatusOr<TrainOutcome> Train(const v1::ExperimentSpec& spec, const TrainOptions& options,
                                   const std::function<bool()>& stop, Reporter& reporter) {
  TrainOutcome outcome = TrainOutcome::kStopped;
  RETURN_IF_ERROR(CatchExceptions([&]() -> absl::Status {
    Trainer trainer(spec, options, stop, reporter);
    ASSIGN_OR_RETURN(outcome, trainer.Run());
    return absl::OkStatus();
  }));
  return outcome;
}

}  // namespace qsweep::engine
