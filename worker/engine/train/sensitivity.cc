#include "worker/engine/train/sensitivity.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/spec/models.h"
#include "common/spec/modules.h"
#include "common/spec/pairs.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/data/loader.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/train/bit_choice.h"
#include "worker/engine/train/evaluation.h"
#include "worker/engine/train/step.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kBatch = 64;
constexpr int64_t kCalibrationImages = 64;

class Measurement {
 public:
  explicit Measurement(const SensitivityTask& task)
      : task_(task),
        shape_(*FindModel(task.spec.model().name())),
        transform_(shape_, task.spec.dataset().image_size(), *task.data) {}

  absl::StatusOr<v1::Sensitivity> Run();

 private:
  // The model with `overrides` and nothing else quantized.
  absl::StatusOr<std::unique_ptr<Vit>> Model(const std::vector<std::string>& overrides) const;
  // Of all images; the first time, what others are compared with.
  absl::StatusOr<v1::Evaluation> Evaluate(const Vit& model, double* divergence);
  absl::StatusOr<v1::LayerMeasurement> Measure(const ModuleShape& layer, const std::string& type);

  const SensitivityTask& task_;
  const ModelShape& shape_;
  const ImageTransform transform_;
  int64_t classes_ = 0;
  bool own_labels_ = false;                  // the unquantized model's
  std::vector<at::Tensor> log_likelihoods_;  // of the unquantized model, by batch
  v1::Evaluation unquantized_;
};

absl::StatusOr<std::unique_ptr<Vit>> Measurement::Model(
    const std::vector<std::string>& overrides) const {
  v1::ExperimentSpec spec = task_.spec;
  spec.mutable_training()->set_method("linear_probe");
  spec.mutable_training()->set_quantization_aware(false);
  spec.mutable_quantization()->set_bits(0);
  spec.mutable_quantization()->clear_overrides();
  spec.mutable_quantization()->mutable_overrides()->Add(overrides.begin(), overrides.end());
  return Vit::Create(spec, shape_, {.compute = task_.compute, .classes = classes_}, task_.weights);
}

absl::StatusOr<v1::Evaluation> Measurement::Evaluate(const Vit& model, double* divergence) {
  const bool first = log_likelihoods_.empty();
  EvaluationCounts counts(classes_);
  double sum = 0;
  std::vector<at::Tensor> made;
  for (int64_t begin = 0; begin < task_.data->size(); begin += kBatch) {
    if (task_.stop()) return absl::CancelledError("told to stop");
    const AccountScope scope(Account::kActivations);
    const int64_t end = std::min(begin + kBatch, task_.data->size());
    const Batch batch = EvaluationBatch(transform_, *task_.data, begin, end);
    const at::Tensor logits = Logits(model, batch.images);
    const at::Tensor log_likelihood = at::log_softmax(logits.to(at::kDouble), 1);
    made.push_back(log_likelihood);
    const at::Tensor& reference = first ? log_likelihood : log_likelihoods_[begin / kBatch];
    sum += (reference.exp() * (reference - log_likelihood)).sum().item<double>();
    counts.Add(logits, own_labels_ ? reference.argmax(1) : batch.labels);
  }
  if (first) log_likelihoods_ = std::move(made);
  *divergence = sum / static_cast<double>(task_.data->size());
  return counts.Result(/*epoch=*/0);
}

absl::StatusOr<v1::LayerMeasurement> Measurement::Measure(const ModuleShape& layer,
                                                          const std::string& type) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Vit> model, Model({absl::StrCat(layer.name, "=", type)}));
  v1::LayerMeasurement result;
  double divergence = 0;
  ASSIGN_OR_RETURN(const v1::Evaluation evaluation, Evaluate(*model, &divergence));
  result.set_layer(layer.name);
  result.set_quant_type(type);
  result.set_bits_per_weight(model->quantization().bits_per_weight());
  result.set_weights(layer.out * layer.in);
  result.set_loss_change(evaluation.loss() - unquantized_.loss());
  result.set_top1_change(evaluation.top1() - unquantized_.top1());
  result.set_divergence(divergence);
  result.set_relative_mse(model->quantization().layer_errors(0).relative_mse());
  return result;
}

absl::StatusOr<v1::Sensitivity> Measurement::Run() {
  const auto head = task_.weights->tensors.find("head.weight");
  const bool has_head = head != task_.weights->tensors.end() && head->second.dim() == 2;
  classes_ = has_head ? head->second.size(0) : task_.data->classes;
  own_labels_ = !has_head || classes_ != task_.data->classes;
  const std::vector<ModuleShape> layers = LayersToMeasure(task_.spec);
  v1::Sensitivity result;
  result.set_labels(own_labels_ ? "model" : "dataset");
  double none = 0;
  ASSIGN_OR_RETURN(const std::unique_ptr<Vit> model, Model({}));
  ASSIGN_OR_RETURN(unquantized_, Evaluate(*model, &none));
  *result.mutable_unquantized() = unquantized_;
  const auto total = static_cast<int64_t>(layers.size() * task_.types.size());
  for (const ModuleShape& layer : layers) {
    for (const std::string& type : task_.types) {
      ASSIGN_OR_RETURN(*result.add_layers(), Measure(layer, type));
      if (!task_.tell) continue;
      const v1::LayerMeasurement& last = result.layers(result.layers_size() - 1);
      RETURN_IF_ERROR(task_.tell(last, result.layers_size(), total));
    }
  }
  return result;
}

Dataset FirstImages(const Dataset& all, int64_t most) {
  const int64_t images = std::min(most, all.size());
  const int64_t bytes = images * all.channels * all.height * all.width;
  Dataset first{all.channels, all.height, all.width, all.classes};
  first.labels.assign(all.labels.begin(), all.labels.begin() + images);
  if (all.of_files()) {
    first.files.assign(all.files.begin(), all.files.begin() + images);
  } else {
    first.pixels.assign(all.pixels.begin(), all.pixels.begin() + bytes);
  }
  return first;
}

}  // namespace

std::vector<ModuleShape> LayersToMeasure(const v1::ExperimentSpec& spec) {
  std::vector<ModuleShape> layers;
  for (ModuleShape& layer : BlockLinears(*FindModel(spec.model().name()))) {
    if (ModuleMatchesAny(layer.name, spec.quantization().skip_modules())) continue;
    layers.push_back(std::move(layer));
  }
  return layers;
}

absl::StatusOr<v1::Sensitivity> MeasureSensitivity(const SensitivityTask& task) {
  return Measurement(task).Run();
}

std::vector<std::string> TypesToMeasure(const v1::Quantization& quantization) {
  if (quantization.bits() == 8) return {"int8"};
  if (quantization.bits() == 4) return {quantization.quant_type()};
  return {"int8", quantization.quant_type()};
}

absl::StatusOr<std::vector<std::string>> ChooseOverrides(const v1::ExperimentSpec& spec,
                                                         at::ScalarType compute,
                                                         const TensorFile& weights,
                                                         const Dataset& training,
                                                         const std::function<bool()>& stop) {
  const Dataset calibration = FirstImages(training, kCalibrationImages);
  SensitivityTask task;
  task.spec = spec;
  task.compute = compute;
  task.types = {spec.quantization().quant_type()};
  task.weights = &weights;
  task.data = &calibration;
  task.stop = stop;
  // Layers that were given by hand are not asked about.
  for (const std::string& element : spec.quantization().overrides()) {
    task.spec.mutable_quantization()->add_skip_modules(std::string(SplitPair(element).pattern));
  }
  ASSIGN_OR_RETURN(const v1::Sensitivity measured, MeasureSensitivity(task));
  std::vector<double> eight_bits;
  for (const v1::LayerMeasurement& layer : measured.layers()) {
    const at::Tensor& weight = weights.tensors.at(layer.layer() + ".weight");
    eight_bits.push_back(8 + 32.0 / static_cast<double>(weight.size(1)));
  }
  return ChooseBits({measured.layers().begin(), measured.layers().end()}, eight_bits,
                    spec.quantization().bits_budget());
}

}  // namespace qsweep::engine
