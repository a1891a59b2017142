#include "worker/engine/train/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/proc.h"
#include "common/status.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/data/loader.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/checkpoint.h"
#include "worker/engine/train/convergence.h"
#include "worker/engine/train/evaluation.h"
#include "worker/engine/train/gradient_stats.h"
#include "worker/engine/train/memory_account.h"
#include "worker/engine/train/merged.h"
#include "worker/engine/train/prepared_run.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/products.h"
#include "worker/engine/train/schedule.h"
#include "worker/engine/train/statistics.h"
#include "worker/engine/train/step.h"

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
  absl::Status Announce();
  // Of the step that is the `steps_done`th, from 1.
  int64_t EpochOf(int64_t steps_done) const;
  bool EpochAwaitsEvaluation() const;
  bool Done() const;
  bool StoppedEarly() const;
  absl::Status TakeStep();
  absl::Status CheckLoss(double loss, double learning_rate) const;
  absl::Status EndWindow(double learning_rate, v1::Metrics metrics);
  absl::Status EvaluateEpoch();
  void KeepBest();
  absl::Status SaveCheckpoint();
  absl::Status Finish();
  absl::Status MergeAndEvaluate(v1::RunResult* result);
  void NoteUse();
  v1::RunResult MakeResult();

  v1::TrainerState& state() { return run_->state; }
  const v1::TrainerState& state() const { return run_->state; }
  const std::vector<AdamW::Slot>& slots() const { return run_->trainee.optimizer->slots(); }

  const v1::ExperimentSpec& spec_;
  const TrainOptions& options_;
  const std::function<bool()>& stop_;
  Reporter& reporter_;

  std::unique_ptr<PreparedRun> run_;
  std::optional<GradientStats> gradients_;

  // Of this attempt alone.
  int64_t rss_before_bytes_ = 0, held_before_bytes_ = 0;
  bool unsaved_ = true;
  std::vector<std::string> checkpoints_;
  std::vector<double> step_rates_;  // images per second
  double window_seconds_ = 0;
  int64_t window_images_ = 0;
};

absl::StatusOr<TrainOutcome> Trainer::Run() {
  const absl::Status prepared = Prepare();
  if (absl::IsCancelled(prepared)) return TrainOutcome::kStopped;  // before there was anything
  RETURN_IF_ERROR(prepared);
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
    if (interval > 0 && state().step() % interval == 0 && !EpochAwaitsEvaluation()) {
      RETURN_IF_ERROR(SaveCheckpoint());
    }
  }
  const absl::Status finished = Finish();
  // The last checkpoint holds all there is to hold.
  if (absl::IsCancelled(finished)) return TrainOutcome::kStopped;
  RETURN_IF_ERROR(finished);
  return TrainOutcome::kFinished;
}

absl::Status Trainer::Prepare() {
  ASSIGN_OR_RETURN(run_, PrepareRun(spec_, options_, stop_));
  gradients_.emplace(slots(), state().mutable_gradients());
  RETURN_IF_ERROR(Announce());
  ResetPeak();
  rss_before_bytes_ = ResidentBytes();
  held_before_bytes_ = CurrentMemory().held_bytes;
  run_->loader->Seek(state().step());
  return absl::OkStatus();
}

absl::Status Trainer::Announce() {
  v1::Started started;
  started.set_resume_step(run_->resume_step);
  started.set_total_steps(run_->total_steps);
  started.set_steps_per_epoch(run_->loader->steps_per_epoch());
  started.set_micro_batch(state().plan().micro_batch());
  started.set_pid(::getpid());
  RETURN_IF_ERROR(reporter_.Started(started));
  return reporter_.Quantized(run_->quantization);
}

int64_t Trainer::EpochOf(int64_t steps_done) const {
  return (steps_done - 1) / run_->loader->steps_per_epoch() + 1;
}

bool Trainer::EpochAwaitsEvaluation() const {
  return state().step() == (state().evaluated_epochs() + 1) * run_->loader->steps_per_epoch();
}

bool Trainer::StoppedEarly() const {
  const int64_t patience = spec_.training().early_stopping_patience();
  return patience > 0 && state().epochs_without_better() >= patience &&
         state().evaluated_epochs() < spec_.training().num_epochs();
}

bool Trainer::Done() const {
  return state().evaluated_epochs() == spec_.training().num_epochs() || StoppedEarly();
}

absl::Status Trainer::TakeStep() {
  const v1::Training& training = spec_.training();
  const absl::Duration begin = SystemClock().Monotonic();
  const int64_t step = state().step();
  const int64_t planned = state().plan().micro_batch();
  const double learning_rate = LearningRate(training, step, run_->total_steps);
  const Batch batch = NextBatch(*run_->loader);
  ASSIGN_OR_RETURN(const double loss,
                   ComputeGradients(*run_->trainee.model, *run_->trainee.optimizer, batch, step,
                                    training.label_smoothing(), state().mutable_plan()));
  if (state().plan().micro_batch() < planned) {
    RETURN_IF_ERROR(
        reporter_.Log("warning", absl::StrCat("out of memory in step ", step + 1, ": micro-batch ",
                                              planned, " becomes ", state().plan().micro_batch())));
  }
  RETURN_IF_ERROR(CheckLoss(loss, learning_rate));
  ASSIGN_OR_RETURN(const std::vector<double> squares,
                   ApplyGradients(*run_->trainee.model, *run_->trainee.optimizer, step + 1,
                                  learning_rate, training.max_grad_norm()));

  gradients_->AddStep(squares);
  Add(loss, state().mutable_loss());
  state().set_step(step + 1);
  unsaved_ = true;
  const double seconds = SecondsSince(begin);
  const int64_t images = batch.labels.size(0);
  state().set_train_seconds(state().train_seconds() + seconds);
  step_rates_.push_back(static_cast<double>(images) / seconds);
  window_seconds_ += seconds;
  window_images_ += images;
  v1::Metrics metrics;
  metrics.set_step(state().step());
  metrics.set_epoch(EpochOf(state().step()));
  AddPoint("gradient_norm", GlobalNorm(squares), &metrics);
  if (state().step() % training.log_interval() != 0 && !EpochAwaitsEvaluation()) {
    return reporter_.Points(metrics);
  }
  return EndWindow(learning_rate, std::move(metrics));
}

absl::Status Trainer::CheckLoss(double loss, double learning_rate) const {
  if (std::isfinite(loss)) return absl::OkStatus();
  const v1::RunningStatistics& norms = state().gradients().window();
  return absl::InvalidArgumentError(
      absl::StrFormat("step %d: the loss is %g; learning rate %g, mean loss before %g, last "
                      "gradient norms %g to %g; "
                      "lower training.learning_rate or lengthen training.warmup_steps",
                      state().step() + 1, loss, learning_rate,
                      state().loss().count() > 0 ? state().loss().mean() : state().train_loss(),
                      norms.min(), norms.max()));
}

// Adds to the last step's points those of the window.
absl::Status Trainer::EndWindow(double learning_rate, v1::Metrics metrics) {
  state().set_train_loss(state().loss().mean());
  state().clear_loss();
  AddPoint("loss", state().train_loss(), &metrics);
  AddPoint("learning_rate", learning_rate, &metrics);
  AddPoint("images_per_s", static_cast<double>(window_images_) / window_seconds_, &metrics);
  window_images_ = 0;
  window_seconds_ = 0;
  const std::string flag = gradients_->EndWindow(&metrics);
  AddMemoryPoints(&metrics);
  if (!flag.empty()) {
    RETURN_IF_ERROR(reporter_.Log("warning", absl::StrCat("step ", state().step(), ": ", flag,
                                                          " gradients in the last window")));
  }
  return reporter_.Step(metrics, run_->total_steps);
}

absl::Status Trainer::EvaluateEpoch() {
  const absl::Duration begin = SystemClock().Monotonic();
  const int64_t epoch = state().evaluated_epochs() + 1;
  int64_t batch = state().plan().evaluation_batch();
  const absl::StatusOr<v1::Evaluation> evaluation =
      Evaluate(*run_->trainee.model, *run_->evaluation_transform, run_->evaluation_data, epoch,
               &batch, stop_);
  state().mutable_plan()->set_evaluation_batch(batch);
  RETURN_IF_ERROR(evaluation.status());
  if (!std::isfinite(evaluation->loss())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("epoch %d: the evaluation loss is %g; lower training.learning_rate", epoch,
                        evaluation->loss()));
  }
  const bool better = !state().has_best() || evaluation->loss() < state().best().loss();
  if (better) {
    *state().mutable_best() = *evaluation;
    KeepBest();
  }
  *state().mutable_last() = *evaluation;
  state().set_epochs_without_better(better ? 0 : state().epochs_without_better() + 1);
  state().set_evaluated_epochs(epoch);
  v1::EpochFacts& facts = *state().add_history();
  facts.set_loss(evaluation->loss());
  facts.set_top1(evaluation->top1());
  state().set_train_seconds(state().train_seconds() + SecondsSince(begin));
  unsaved_ = true;
  return reporter_.Evaluated(*evaluation, state().step(), better);
}

void Trainer::KeepBest() {
  for (size_t i = 0; i < slots().size(); ++i) run_->best[i].copy_(slots()[i].parameter.value);
}

absl::Status Trainer::SaveCheckpoint() {
  if (!unsaved_) return absl::OkStatus();
  NoteUse();
  v1::CheckpointWritten written;
  written.set_step(state().step());
  written.set_epoch(EpochOf(std::max<int64_t>(state().step(), 1)));
  ASSIGN_OR_RETURN(*written.mutable_file(),
                   WriteCheckpoint(options_.directory, state(), slots(), run_->best));
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
  for (size_t i = 0; i < slots().size(); ++i) slots()[i].parameter.value.copy_(run_->best[i]);
  run_->trainee.model->Requantize();
  v1::RunResult result = MakeResult();
  RETURN_IF_ERROR(MergeAndEvaluate(&result));
  ASSIGN_OR_RETURN(const std::vector<v1::FileFact> files,
                   WriteProducts(options_.directory, spec_, *run_->trainee.model));
  result.mutable_files()->Add(files.begin(), files.end());
  result.mutable_provenance()->set_adapter_sha256(files.front().sha256());
  return reporter_.Finished(result);
}

absl::Status Trainer::MergeAndEvaluate(v1::RunResult* result) {
  if (spec_.training().method() != "lora" || run_->quantization.layers_quantized() == 0) {
    return absl::OkStatus();
  }
  const absl::Status status = CatchExceptions([&] {
    return EvaluateMerged(run_->model_spec, run_->compute, *run_->trainee.model,
                          *run_->evaluation_transform, run_->evaluation_data,
                          state().plan().evaluation_batch(), stop_, result);
  });
  if (!absl::IsResourceExhausted(status)) return status;
  ReleaseCached();
  result->clear_merged();
  result->clear_requantized();
  return reporter_.Log("warning", absl::StrCat("merged weights not evaluated: ", status.message()));
}

// What the run takes of its machine, so far.
void Trainer::NoteUse() {
  if (step_rates_.empty() && state().has_memory()) return;
  state().set_images_per_s(Median(step_rates_));
  v1::MemoryAccount& memory = *state().mutable_memory();
  memory = CurrentMemoryAccount(run_->batch_size, state().plan());
  memory.set_rss_before_bytes(rss_before_bytes_);
  memory.set_held_before_bytes(held_before_bytes_);
}

v1::RunResult Trainer::MakeResult() {
  NoteUse();
  v1::RunResult result;
  result.set_model(spec_.model().name());
  result.set_method(spec_.training().method());
  result.set_epochs(state().evaluated_epochs());
  result.set_steps(state().step());
  result.set_stopped_early(StoppedEarly());
  result.set_best_epoch(state().best().epoch());
  *result.mutable_best() = state().best();
  *result.mutable_final() = state().last();
  result.set_final_train_loss(state().train_loss());
  result.set_total_parameters(run_->trainee.model->total_parameters());
  result.set_trainable_parameters(run_->trainee.model->trainable_parameters());
  result.set_adapted_modules(static_cast<int32_t>(run_->trainee.model->adapted_modules().size()));
  *result.mutable_quantization() = run_->quantization;
  *result.mutable_memory() = state().memory();
  *result.mutable_gradients() = gradients_->Summary();
  for (const std::string& module : run_->trainee.model->DeadAdapters()) {
    result.mutable_gradients()->add_dead_adapters(module);
  }
  *result.mutable_convergence() = ConvergenceOf(state().history());
  *result.mutable_provenance() = run_->provenance;
  result.set_train_seconds(state().train_seconds());
  result.set_images_per_s(state().images_per_s());
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
