#include "worker/engine/train/setup.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/spec/models.h"
#include "common/spec/modules.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/data/loader.h"
#include "worker/engine/quant/weight_file.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/loss_scale.h"
#include "worker/engine/train/step.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kDeviceEvaluationBatch = 256;

int64_t TensorBytes(int64_t process_limit_bytes, int64_t data_bytes) {
  if (CountedDevice() != nullptr) return process_limit_bytes;
  return process_limit_bytes - kProgramBytes - data_bytes;
}

// Its name below the split's directory, and its size: reading all of them would take hours.
std::string PictureIdentity(const std::string& path) {
  const auto after = [&path](const char* split) {
    const size_t at = path.rfind(split);
    return at == std::string::npos ? size_t{0} : at + 1;
  };
  return absl::StrCat(path.substr(std::max(after("/train/"), after("/val/"))), ":",
                      FileSize(path).value_or(-1), ";");
}

template <typename T>
absl::string_view BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

absl::Status LimitTensors(int64_t process_limit_bytes, int64_t data_bytes) {
  if (process_limit_bytes == 0) {
    SetMemoryLimit(0);
    return absl::OkStatus();
  }
  const int64_t bytes = TensorBytes(process_limit_bytes, data_bytes);
  if (bytes <= 0) {
    return Blamed(absl::ResourceExhaustedError(
                      absl::StrCat("the memory limit of ", process_limit_bytes,
                                   " bytes leaves nothing for tensors: the program takes ",
                                   kProgramBytes, " and the images ", data_bytes)),
                  v1::BLAME_RESOURCES);
  }
  SetMemoryLimit(bytes);
  return absl::OkStatus();
}

v1::TrainingInputs DescribeInputs(const std::string& weights_sha256, const Dataset& training,
                                  const Dataset& evaluation) {
  uint32_t crc = 0;
  for (const Dataset* data : {&training, &evaluation}) {
    crc = Crc32(BytesOf(data->pixels), crc);
    crc = Crc32(BytesOf(data->labels), crc);
    for (const std::string& path : data->files) crc = Crc32(PictureIdentity(path), crc);
  }
  v1::TrainingInputs inputs;
  inputs.set_weights_sha256(weights_sha256);
  inputs.set_images_crc32(crc);
  return inputs;
}

absl::Status CheckInputs(const v1::TrainingInputs& had, const v1::TrainingInputs& has) {
  if (had.weights_sha256() != has.weights_sha256()) {
    return absl::UnavailableError(absl::StrCat(
        "the run began from weights with SHA-256 ", had.weights_sha256(), ", here they have ",
        has.weights_sha256(), "; continue it where the same file is"));
  }
  if (had.images_crc32() != has.images_crc32()) {
    return absl::UnavailableError(
        "the images here are not those the run began with; continue it where the same files are");
  }
  return absl::OkStatus();
}

v1::ExperimentSpec BaseOf(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec base = spec;
  if (spec.training().method() == "lora") {
    for (const ModuleShape& linear : BlockLinears(*FindModel(spec.model().name()))) {
      if (!ModuleMatchesAny(linear.name, spec.lora().modules_to_save())) continue;
      base.mutable_quantization()->add_skip_modules(linear.name);
    }
  }
  base.mutable_training()->set_method("linear_probe");
  base.mutable_training()->set_quantization_aware(false);
  return base;
}

absl::StatusOr<Trainee> MakeTrainee(const v1::ExperimentSpec& spec, const ComputeType& compute,
                                    int64_t classes, const std::string& weights_file) {
  const ModelShape* shape = FindModel(spec.model().name());
  if (shape == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.name: ", spec.model().name(), ": unknown"));
  }
  std::optional<TensorFile> weights;
  if (!weights_file.empty()) {
    ASSIGN_OR_RETURN(weights, ReadWeightFile(weights_file));
  }
  Vit::Options options;
  options.compute = compute.type;
  options.classes = classes;
  Trainee trainee;
  absl::StatusOr<std::unique_ptr<Vit>> model =
      Vit::Create(spec, *shape, options, weights ? &*weights : nullptr);
  if (!model.ok()) {
    return weights_file.empty() ? model.status() : Annotate(model.status(), weights_file);
  }
  trainee.model = *std::move(model);
  weights.reset();  // before the optimizer's tensors: the two need not be there at once
  trainee.optimizer =
      std::make_unique<AdamW>(trainee.model->trainable(), spec.training().weight_decay());
  return trainee;
}

absl::StatusOr<v1::StepPlan> MakePlan(const v1::ExperimentSpec& spec, Trainee& trainee,
                                      at::ScalarType image_type, int64_t process_limit_bytes,
                                      int64_t data_bytes) {
  const int64_t limit = process_limit_bytes == 0 ? 0 : TensorBytes(process_limit_bytes, data_bytes);
  const Vit& model = *trainee.model;
  ASSIGN_OR_RETURN(v1::StepPlan plan,
                   PlanStep(spec, ShapeOfSteps(model), limit,
                            MakePeakProbe(model, *trainee.optimizer, spec.dataset().image_size(),
                                          LoaderBytes(spec.dataset(), image_type))));
  plan.set_limit_bytes(process_limit_bytes);
  if (!model.device().is_cpu()) plan.set_evaluation_batch(kDeviceEvaluationBatch);
  BeginLossScale(model, &plan);
  ReleaseCached();
  return plan;
}

}  // namespace qsweep::engine
