#include "worker/engine/train/prepared_run.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/spec/models.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "worker/engine/base/device.h"
#include "worker/engine/quant/weight_file.h"
#include "worker/engine/train/loss_scale.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/products.h"
#include "worker/engine/train/sensitivity.h"
#include "worker/engine/train/weights.h"

namespace qsweep::engine {
namespace {

class Preparation {
 public:
  Preparation(const v1::ExperimentSpec& spec, const TrainOptions& options,
              const std::function<bool()>& stop)
      : spec_(spec), options_(options), stop_(stop), run_(std::make_unique<PreparedRun>()) {}

  absl::StatusOr<std::unique_ptr<PreparedRun>> Run() {
    RETURN_IF_ERROR(UseDevice(options_.device));
    threads_ = ConfigureThreads(options_.threads);
    limit_bytes_ = MemoryLimit(options_.memory_limit_bytes);
    RETURN_IF_ERROR(LoadData());
    RETURN_IF_ERROR(ReadState());
    RETURN_IF_ERROR(MakeModel());
    RETURN_IF_ERROR(Resume());
    RETURN_IF_ERROR(Plan());
    return std::move(run_);
  }

 private:
  absl::Status LoadData();
  absl::Status ReadState();
  absl::Status MakeModel();
  absl::Status ResolveBits(const std::string& weights);
  absl::Status CheckWarmup() const;
  absl::Status Resume();
  absl::Status Plan();

  const v1::ExperimentSpec& spec_;
  const TrainOptions& options_;
  const std::function<bool()>& stop_;
  std::unique_ptr<PreparedRun> run_;
  int threads_ = 0;
  int64_t limit_bytes_ = 0;
  int64_t data_bytes_ = 0;
  std::optional<Checkpoint> checkpoint_;
};

absl::Status Preparation::LoadData() {
  ASSIGN_OR_RETURN(run_->training_data,
                   LoadDataset(spec_.dataset(), options_.data_root, Split::kTrain));
  ASSIGN_OR_RETURN(run_->evaluation_data,
                   LoadDataset(spec_.dataset(), options_.data_root, Split::kTest));
  for (const Dataset* data : {&run_->training_data, &run_->evaluation_data}) {
    data_bytes_ += static_cast<int64_t>(data->pixels.size());
  }
  return LimitTensors(limit_bytes_, data_bytes_);
}

absl::Status Preparation::ReadState() {
  const std::string key = RunKey(spec_);
  if (!options_.resume_file.empty()) {
    ASSIGN_OR_RETURN(checkpoint_, ReadCheckpoint(options_.resume_file, key));
    run_->state = checkpoint_->state;
    run_->resume_step = run_->state.step();
  }
  run_->state.set_run_key(key);
  return absl::OkStatus();
}

absl::Status Preparation::MakeModel() {
  ASSIGN_OR_RETURN(const std::string weights,
                   FindWeights(spec_.model(), options_.model_root, options_.weights_file));
  run_->compute = ChooseComputeType(spec_);
  run_->provenance = MakeProvenance(spec_, threads_);
  if (!weights.empty()) {
    run_->provenance.set_weights_file(weights);
    ASSIGN_OR_RETURN(*run_->provenance.mutable_weights_sha256(), Sha256HexOfFile(weights));
  }
  RETURN_IF_ERROR(ResolveBits(weights));
  ASSIGN_OR_RETURN(run_->trainee, MakeTrainee(run_->model_spec, run_->compute,
                                              run_->training_data.classes, weights));
  run_->quantization = run_->trainee.model->quantization();
  run_->quantization.set_compute_dtype_asked(run_->compute.asked);
  run_->quantization.set_compute_dtype_used(run_->compute.used);
  const ModelShape& shape = *FindModel(spec_.model().name());
  run_->evaluation_transform.emplace(shape, spec_.dataset().image_size(), run_->evaluation_data);
  run_->loader =
      std::make_unique<TrainingLoader>(spec_, shape, run_->training_data, run_->compute.type);
  run_->batch_size = std::min<int64_t>(spec_.dataset().batch_size(), run_->training_data.size());
  run_->total_steps = run_->loader->steps_per_epoch() * spec_.training().num_epochs();
  run_->best = MakeBestValues(run_->trainee.optimizer->slots());
  return CheckWarmup();
}

// The spec's own check does not know how many images there are of the classes, or in a directory.
absl::Status Preparation::CheckWarmup() const {
  const std::string problem = WarmupProblem(spec_.training().warmup_steps(), run_->total_steps);
  if (problem.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("training.warmup_steps: ", problem));
}

// bits: auto becomes 4 bits and overrides: those that were chosen when the run began.
absl::Status Preparation::ResolveBits(const std::string& weights) {
  run_->model_spec = spec_;
  if (spec_.quantization().bits() >= 0) return absl::OkStatus();
  if (!checkpoint_) {
    ASSIGN_OR_RETURN(const TensorFile file, ReadWeightFile(weights));
    ASSIGN_OR_RETURN(const std::vector<std::string> chosen,
                     ChooseOverrides(spec_, run_->compute.type, file, run_->training_data, stop_));
    run_->state.mutable_overrides()->Add(chosen.begin(), chosen.end());
  }
  v1::Quantization& quantization = *run_->model_spec.mutable_quantization();
  quantization.set_bits(4);
  quantization.mutable_overrides()->MergeFrom(run_->state.overrides());
  return absl::OkStatus();
}

absl::Status Preparation::Resume() {
  const v1::TrainingInputs inputs =
      DescribeInputs(run_->provenance.weights_sha256(), run_->training_data, run_->evaluation_data);
  if (checkpoint_) {
    RETURN_IF_ERROR(CheckInputs(run_->state.inputs(), inputs));
    RETURN_IF_ERROR(RestoreTensors(*checkpoint_, run_->trainee.optimizer->slots(), run_->best));
    run_->trainee.model->Requantize();
  }
  *run_->state.mutable_inputs() = inputs;
  return absl::OkStatus();
}

// A run goes on with the plan it had, for the same rounding, unless there is less memory now or
// another number of threads, which rounds otherwise anyway; the loss scale is its own in any case.
absl::Status Preparation::Plan() {
  const auto bytes = [](int64_t limit) { return limit == 0 ? INT64_MAX : limit; };
  v1::StepPlan& plan = *run_->state.mutable_plan();
  if (plan.micro_batch() > 0 && plan.threads() == threads_ &&
      bytes(limit_bytes_) >= bytes(plan.limit_bytes())) {
    BeginLossScale(*run_->trainee.model, &plan);
    return absl::OkStatus();
  }
  const v1::StepPlan had = plan;
  v1::ExperimentSpec spec = spec_;
  spec.mutable_dataset()->set_batch_size(static_cast<int32_t>(run_->batch_size));
  ASSIGN_OR_RETURN(plan,
                   MakePlan(spec, run_->trainee, run_->compute.type, limit_bytes_, data_bytes_));
  plan.set_threads(threads_);
  if (plan.loss_scale() > 0 && had.loss_scale() > 0) {
    plan.set_loss_scale(had.loss_scale());
    plan.set_steps_at_loss_scale(had.steps_at_loss_scale());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PreparedRun>> PrepareRun(const v1::ExperimentSpec& spec,
                                                        const TrainOptions& options,
                                                        const std::function<bool()>& stop) {
  return Preparation(spec, options, stop).Run();
}

}  // namespace qsweep::engine
