#include "analysis/details.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "analysis/by_scope.h"
#include "analysis/claims.h"
#include "analysis/comparison.h"
#include "analysis/statistics.h"
#include "analysis/summary.h"
#include "common/spec/pairs.h"

namespace qsweep {
namespace {

// A mean that is known only if there was a value.
struct Mean {
  double sum = 0;
  int n = 0;
  void Add(double value) {
    if (!std::isfinite(value)) return;
    sum += value;
    ++n;
  }
  double value() const { return sum / n; }
};

struct EffectSums {
  v1::ExperimentSpec scope;  // what the runs share
  v1::QuantizationEffect effect;
  Mean bits, reduction, efficiency, peak, top1, twin_top1, speed, stability, merged, requantized;
};

// The layer's own, which in a mixture is not the run's.
v1::Quantization QuantizationOfLayer(const RunFacts& run, const std::string& quant_type) {
  v1::Quantization layer;
  layer.set_bits(quant_type == "int8" ? 8 : 4);
  layer.set_quant_type(quant_type);
  if (layer.bits() == 8) return layer;
  layer.set_double_quant(run.spec.quantization().double_quant());
  layer.set_blocksize(run.spec.quantization().blocksize());
  return layer;
}

// Of the bytes that the quantized layers could save at the expected bits, the share that was saved.
double Efficiency(const v1::QuantizationFacts& facts, double expected_bits) {
  const double could = static_cast<double>(facts.weights_quantized()) * (32 - expected_bits) / 8;
  const double did =
      static_cast<double>(facts.weights_quantized()) * (32 - facts.bits_per_weight()) / 8;
  return could > 0 ? did / could : NAN;
}

void AddRun(const RunFacts& run, const RunFacts* twin, EffectSums* sums) {
  const v1::RunResult& result = *run.result;
  const v1::QuantizationFacts& facts = result.quantization();
  v1::QuantizationEffect& effect = sums->effect;
  effect.set_model(run.spec.model().name());
  effect.set_dataset(run.spec.dataset().name());
  effect.set_method(run.spec.training().method());
  effect.set_quantization(QuantizationLabel(run.spec.quantization()));
  effect.set_runs(effect.runs() + 1);
  effect.set_parameters(result.total_parameters());
  sums->bits.Add(facts.bits_per_weight());
  sums->reduction.Add(1 - static_cast<double>(facts.bytes_after()) /
                              static_cast<double>(facts.bytes_before()));
  if (run.spec.quantization().overrides().empty()) {
    effect.set_expected_bits_per_weight(ExpectedBitsPerWeight(run.spec.quantization()));
    sums->efficiency.Add(Efficiency(facts, effect.expected_bits_per_weight()));
  }
  if (result.has_merged()) sums->merged.Add(result.merged().top1() - result.best().top1());
  if (result.has_requantized()) {
    sums->requantized.Add(result.requantized().top1() - result.best().top1());
  }
  if (twin == nullptr) return;
  const v1::RunResult& base = *twin->result;
  effect.set_pairs(effect.pairs() + 1);
  sums->top1.Add(result.best().top1() - base.best().top1());
  sums->twin_top1.Add(base.best().top1());
  sums->stability.Add(result.gradients().stability() / base.gradients().stability());
  const std::string ours = HowComputed(result), theirs = HowComputed(base);
  if (ours != theirs) {
    effect.set_note(absl::StrCat("peak and speed not compared: computed with ", ours,
                                 "; unquantized with ", theirs));
    return;
  }
  sums->peak.Add(1 - static_cast<double>(result.memory().peak_bytes()) /
                         static_cast<double>(base.memory().peak_bytes()));
  sums->speed.Add(result.images_per_s() / base.images_per_s());
}

}  // namespace

std::vector<v1::QuantizationEffect> QuantizationEffects(
    const std::vector<RunFacts>& runs, const std::vector<std::optional<size_t>>& twins) {
  ByScope<EffectSums> all;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].result.has_value() || !TrainsQuantized(runs[i].spec)) continue;
    AddRun(runs[i], twins[i].has_value() ? &runs[*twins[i]] : nullptr,
           &all.At(PairScope(runs[i].spec, Pooling::kOverAdapters)));
  }
  const std::vector<std::string> differs = ScopeDifferences(all.scopes());
  std::vector<v1::QuantizationEffect> effects;
  for (const EffectSums& sums : all.values()) {
    v1::QuantizationEffect& effect = effects.emplace_back(sums.effect);
    effect.set_differs(differs[effects.size() - 1]);
    effect.set_bits_per_weight(sums.bits.value());
    if (sums.reduction.n > 0) effect.set_weights_reduction(sums.reduction.value());
    if (sums.efficiency.n > 0) effect.set_memory_efficiency(sums.efficiency.value());
    if (sums.peak.n > 0) effect.set_peak_reduction(sums.peak.value());
    if (sums.top1.n > 0) effect.set_top1_difference(sums.top1.value());
    if (sums.peak.n > 0) effect.clear_note();
    if (sums.twin_top1.n > 0) effect.set_twin_top1(sums.twin_top1.value());
    if (sums.speed.n > 0) effect.set_images_per_s_ratio(sums.speed.value());
    if (sums.stability.n > 0) effect.set_stability_ratio(sums.stability.value());
    if (sums.merged.n > 0) effect.set_merged_difference(sums.merged.value());
    if (sums.requantized.n > 0) effect.set_requantized_difference(sums.requantized.value());
  }
  return effects;
}

std::vector<v1::LayerSensitivity> LayerSensitivities(const std::vector<RunFacts>& runs) {
  struct Sums {
    v1::ExperimentSpec scope;
    v1::LayerSensitivity layer;
    Mean relative_mse, sqnr, max_abs, loss, top1;
  };
  ByScope<Sums> all;
  // What quantizing costs depends on the task, the weights and whose labels are asked for.
  const auto sums_of = [&all](const RunFacts& run, const std::string& quant_type,
                              const std::string& layer, const std::string& labels) -> Sums& {
    v1::ExperimentSpec scope;
    *scope.mutable_model() = run.spec.model();
    *scope.mutable_dataset() = Task(run.spec.dataset());
    *scope.mutable_quantization() = QuantizationOfLayer(run, quant_type);
    Sums& sums = all.At(std::move(scope), absl::StrCat(layer, "\n", labels));
    sums.layer.set_layer(layer);
    sums.layer.set_labels(labels);
    sums.layer.set_runs(sums.layer.runs() + 1);
    return sums;
  };
  for (const RunFacts& run : runs) {
    if (!run.result.has_value()) continue;
    for (const v1::LayerError& error : run.result->quantization().layer_errors()) {
      Sums& sums = sums_of(run, error.quant_type(), error.layer(), "");
      sums.relative_mse.Add(error.relative_mse());
      sums.sqnr.Add(error.sqnr_db());
      sums.max_abs.Add(error.max_abs_error());
    }
    const v1::Sensitivity& sensitivity = run.result->sensitivity();
    for (const v1::LayerMeasurement& alone : sensitivity.layers()) {
      Sums& sums = sums_of(run, alone.quant_type(), alone.layer(), sensitivity.labels());
      sums.relative_mse.Add(alone.relative_mse());
      sums.sqnr.Add(-10 * std::log10(alone.relative_mse()));
      sums.loss.Add(alone.loss_change());
      sums.top1.Add(alone.top1_change());
    }
  }
  const std::vector<std::string> names = all.names();
  std::vector<v1::LayerSensitivity> layers;
  for (const Sums& sums : all.values()) {
    v1::LayerSensitivity& layer = layers.emplace_back(sums.layer);
    layer.set_model(sums.scope.model().name());
    layer.set_dataset(sums.scope.dataset().name());
    layer.set_quantization(names[layers.size() - 1]);
    layer.set_relative_mse(sums.relative_mse.value());
    layer.set_sqnr_db(sums.sqnr.value());
    if (sums.max_abs.n > 0) layer.set_max_abs_error(sums.max_abs.value());
    if (sums.loss.n > 0) layer.set_loss_change(sums.loss.value());
    if (sums.top1.n > 0) layer.set_top1_change(sums.top1.value());
  }
  return layers;
}

std::vector<v1::BlockGradient> BlockGradients(const std::vector<RunFacts>& runs) {
  struct Values {
    v1::ExperimentSpec scope;
    std::string layer;
    std::vector<double> norms;
  };
  ByScope<Values> all;
  for (const RunFacts& run : runs) {
    const v1::ExperimentSpec scope = PairScope(run.spec, Pooling::kOverAdapters);
    for (const v1::LayerGradient& layer : run.layers) {
      Values& values = all.At(scope, layer.layer());
      values.layer = layer.layer();
      values.norms.push_back(layer.mean_norm());
    }
  }
  const std::vector<std::string> names = all.names();
  std::vector<v1::BlockGradient> blocks;
  for (const Values& values : all.values()) {
    v1::BlockGradient& block = blocks.emplace_back();
    block.set_model(values.scope.model().name());
    block.set_dataset(values.scope.dataset().name());
    block.set_quantization(names[blocks.size() - 1]);
    block.set_layer(values.layer);
    *block.mutable_norm() = Describe(values.norms);
  }
  return blocks;
}

}  // namespace qsweep
