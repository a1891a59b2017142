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
#include "worker/engine/train/setup.h"
#include "worker/engine/train/step.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kCalibrationImages = 64;

// The model with `overrides` and nothing else quantized.
absl::StatusOr<std::unique_ptr<Vit>> QuantizeOnly(const std::vector<std::string>& overrides,
                                                  const SensitivityTask& task, int64_t classes) {
  v1::ExperimentSpec spec = task.spec;
  spec.mutable_training()->set_method("linear_probe");
  spec.mutable_training()->set_quantization_aware(false);
  v1::Quantization& quantization = *spec.mutable_quantization();
  quantization.set_bits(0);
  *quantization.mutable_overrides() = {overrides.begin(), overrides.end()};
  return Vit::Create(spec, *FindModel(spec.model().name()),
                     {.compute = task.compute, .classes = classes}, task.weights);
}

class Measurement {
 public:
  explicit Measurement(const SensitivityTask& task)
      : task_(task),
        transform_(*FindModel(task.spec.model().name()), task.spec.dataset().image_size(),
                   *task.data) {}

  absl::StatusOr<v1::Sensitivity> Run();

 private:
  // Of all images; the first time, what others are compared with.
  absl::StatusOr<v1::Evaluation> Evaluate(const Vit& model, double* divergence);
  absl::StatusOr<v1::LayerMeasurement> Measure(const ModuleShape& layer, const std::string& type);

  const SensitivityTask& task_;
  const ImageTransform transform_;
  int64_t classes_ = 0;
  int64_t batch_ = 64;
  bool own_labels_ = false;     // the unquantized model's
  at::Tensor log_likelihoods_;  // [images, classes], of the unquantized model
  v1::Evaluation unquantized_;
};

absl::StatusOr<v1::Evaluation> Measurement::Evaluate(const Vit& model, double* divergence) {
  const bool first = !log_likelihoods_.defined();
  if (first) log_likelihoods_ = at::empty({task_.data->size(), classes_}, at::kDouble);
  EvaluationCounts counts(classes_);
  double sum = 0;
  const auto add = [&](int64_t begin, int64_t end) {
    const Batch batch = EvaluationBatch(transform_, *task_.data, begin, end);
    const at::Tensor logits = Logits(model, batch.images);
    const at::Tensor log_likelihood = at::log_softmax(logits.to(at::kDouble), 1);
    const at::Tensor reference = log_likelihoods_.slice(0, begin, end);
    if (first) reference.copy_(log_likelihood);
    sum += (reference.exp() * (reference - log_likelihood)).sum().item<double>();
    counts.Add(logits, own_labels_ ? reference.argmax(1) : batch.labels);
  };
  RETURN_IF_ERROR(ForBatches(task_.data->size(), &batch_, task_.stop, add));
  *divergence = sum / static_cast<double>(task_.data->size());
  return counts.Result(/*epoch=*/0);
}

absl::StatusOr<v1::LayerMeasurement> Measurement::Measure(const ModuleShape& layer,
                                                          const std::string& type) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Vit> model,
                   QuantizeOnly({absl::StrCat(layer.name, "=", type)}, task_, classes_));
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
  {  // in memory only until its logits are known
    ASSIGN_OR_RETURN(const std::unique_ptr<Vit> model, QuantizeOnly({}, task_, classes_));
    ASSIGN_OR_RETURN(unquantized_, Evaluate(*model, &none));
  }
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

// What the layers that quantization.overrides names take of the budget. Overrides of layers that
// are not quantized take nothing.
absl::StatusOr<GivenLayers> TakenByOverrides(const SensitivityTask& task) {
  const auto& overrides = task.spec.quantization().overrides();
  v1::Quantization given = task.spec.quantization();
  given.set_bits(0);
  const std::vector<ModuleShape> layers = LayersToMeasure(task.spec);
  if (std::none_of(layers.begin(), layers.end(), [&given](const ModuleShape& layer) {
        return QuantizationOf(layer.name, given).bits() != 0;
      })) {
    return GivenLayers();
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Vit> model,
                   QuantizeOnly({overrides.begin(), overrides.end()}, task, task.data->classes));
  const auto weights = static_cast<double>(model->quantization().weights_quantized());
  return GivenLayers{weights, weights * model->quantization().bits_per_weight()};
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
  task.spec = BaseOf(spec);
  task.compute = compute;
  task.types = {spec.quantization().quant_type()};
  task.weights = &weights;
  task.data = &calibration;
  task.stop = stop;
  ASSIGN_OR_RETURN(const GivenLayers given, TakenByOverrides(task));
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
  return ChooseBits({measured.layers().begin(), measured.layers().end()}, eight_bits, given,
                    spec.quantization().bits_budget());
}

}  // namespace qsweep::engine
