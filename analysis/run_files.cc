#include "analysis/run_files.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "analysis/claims.h"
#include "common/spec/pairs.h"
#include "common/state_names.h"

namespace qsweep {
namespace {

constexpr int64_t kThinned = 250;  // points of a curve that is kept for figures
constexpr int64_t kWhole = int64_t{1} << 40;

const v1::Curve* FindCurve(const RunRecord& record, absl::string_view name) {
  for (const v1::Curve& curve : record.curves) {
    if (curve.name() == name) return &curve;
  }
  return nullptr;
}

// Every so many points of the curve, about `limit` of a run of `total_steps`, and the last: the
// same steps of every run of a group, whenever it ended.
Series Thinned(const v1::Curve* curve, int64_t total_steps, int64_t limit) {
  Series series;
  if (curve == nullptr || curve->steps().empty()) return series;
  const int size = curve->steps_size();
  const int64_t apart = size > 1 ? std::max<int64_t>(curve->steps(1) - curve->steps(0), 1) : 1;
  const int64_t planned = std::max<int64_t>(total_steps / apart, size);
  const int64_t stride = (planned + limit - 1) / limit;
  for (int i = 0; i < size; ++i) {
    if ((i + 1) % stride != 0 && i + 1 < size) continue;
    series.steps.push_back(curve->steps(i));
    series.values.push_back(static_cast<float>(curve->values(i)));
  }
  return series;
}

// Mean and largest of gradient_norm/LAYER/mean over the windows.
std::vector<v1::LayerGradient> LayerGradients(const RunRecord& record) {
  std::vector<v1::LayerGradient> layers;
  for (const v1::Curve& curve : record.curves) {
    absl::string_view layer = curve.name();
    if (!absl::ConsumePrefix(&layer, "gradient_norm/") || !absl::ConsumeSuffix(&layer, "/mean")) {
      continue;
    }
    double sum = 0, largest = 0;
    int n = 0;
    for (const double value : curve.values()) {
      if (!std::isfinite(value)) continue;
      sum += value;
      largest = std::max(largest, value);
      ++n;
    }
    if (n == 0) continue;
    v1::LayerGradient& gradient = layers.emplace_back();
    gradient.set_layer(std::string(layer));
    gradient.set_mean_norm(sum / n);
    gradient.set_max_norm(largest);
  }
  return layers;
}

v1::Convergence MakeConvergence(const RunRecord& record) {
  const v1::RunResult& result = record.detail.result();
  v1::Convergence convergence;
  convergence.set_epochs(result.epochs());
  convergence.set_steps(result.steps());
  convergence.set_best_epoch(result.best_epoch());
  convergence.set_stopped_early(result.stopped_early());
  convergence.set_final_train_loss(result.final_train_loss());
  const v1::Curve* loss = FindCurve(record, "loss");
  if (loss != nullptr && !loss->values().empty()) {
    convergence.set_first_train_loss(loss->values(0));
  }
  *convergence.mutable_evaluations() = result.convergence();
  return convergence;
}

v1::LoraFacts MakeLoraFacts(const v1::ExperimentSpec& spec, const v1::RunResult& result) {
  v1::LoraFacts facts;
  facts.set_method(spec.training().method());
  facts.set_adapted_modules(result.adapted_modules());
  if (facts.method() != "lora") return facts;
  const v1::Lora& lora = spec.lora();
  facts.set_rank(lora.rank());
  facts.set_alpha(lora.alpha());
  facts.set_dropout(lora.dropout());
  facts.set_scaling(LoraScaling(lora.alpha(), lora.rank(), lora.use_rslora()));
  *facts.mutable_target_modules() = lora.target_modules();
  return facts;
}

template <typename Repeated>
void AddAttempts(const v1::RunDetail& detail, Repeated* lines) {
  for (const v1::AttemptRecord& attempt : detail.attempts()) {
    v1::AttemptLine& line = *lines->Add();
    line.set_number(attempt.number());
    line.set_worker(attempt.worker());
    line.set_outcome(attempt.outcome());
    line.set_started_unix_us(attempt.started_unix_us());
    line.set_ended_unix_us(attempt.ended_unix_us());
    line.set_resume_step(attempt.resume_step());
    line.set_error(attempt.error());
  }
}

std::string UtcText(int64_t unix_us) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMicros(unix_us),
                          absl::UTCTimeZone());
}

v1::MemoryCheck CheckMemory(const RunFacts& run) {
  const v1::QuantizationFacts& facts = run.result->quantization();
  v1::MemoryCheck check;
  check.set_bytes_before(facts.bytes_before());
  check.set_bytes_after(facts.bytes_after());
  if (facts.bytes_before() > 0) {
    check.set_reduction(1 - static_cast<double>(facts.bytes_after()) /
                                static_cast<double>(facts.bytes_before()));
  }
  if (const auto expected = ExpectedReduction(run.spec.quantization())) {
    check.set_expected_low(expected->low);
    check.set_expected_high(expected->high);
  }
  check.set_bits_per_weight(facts.bits_per_weight());
  if (facts.bits() > 0 && run.spec.quantization().overrides().empty()) {
    check.set_expected_bits_per_weight(ExpectedBitsPerWeight(run.spec.quantization()));
  }
  return check;
}

v1::Verification Verify(const v1::QuantizationFacts& facts) {
  v1::Verification verification;
  verification.set_layers_quantized(facts.layers_quantized());
  verification.set_weights_quantized(facts.weights_quantized());
  *verification.mutable_layers() = facts.layer_errors();
  if (facts.layer_errors().empty()) return verification;
  double sum = 0;
  const v1::LayerError* worst = &facts.layer_errors(0);
  for (const v1::LayerError& error : facts.layer_errors()) {
    sum += error.relative_mse();
    if (error.sqnr_db() < worst->sqnr_db()) worst = &error;
  }
  verification.set_mean_relative_mse(sum / facts.layer_errors_size());
  verification.set_worst_layer(worst->layer());
  verification.set_worst_sqnr_db(worst->sqnr_db());
  return verification;
}

v1::GradientFlow FlowOf(const RunFacts& run) {
  v1::GradientFlow flow;
  *flow.mutable_norms() = run.result->gradients();
  flow.set_vanishing(run.result->gradients().vanishing_windows() > 0);
  flow.set_exploding(run.result->gradients().exploding_windows() > 0);
  for (const v1::LayerGradient& layer : run.layers) *flow.add_layers() = layer;
  return flow;
}

double Ratio(double a, double b) { return b > 0 ? a / b : 0; }

v1::TwinComparison CompareWithTwin(const RunFacts& run, const RunFacts& twin) {
  const v1::RunResult &ours = *run.result, &theirs = *twin.result;
  v1::TwinComparison comparison;
  comparison.set_run(twin.run.name());
  comparison.set_best_top1_difference(ours.best().top1() - theirs.best().top1());
  comparison.set_final_loss_difference(ours.final().loss() - theirs.final().loss());
  comparison.set_best_epoch_difference(ours.best_epoch() - theirs.best_epoch());
  const size_t epochs = std::min(run.top1.values.size(), twin.top1.values.size());
  double gap = 0;
  for (size_t i = 0; i < epochs; ++i) gap += run.top1.values[i] - twin.top1.values[i];
  if (epochs > 0) comparison.set_mean_top1_gap(gap / static_cast<double>(epochs));
  const auto& values = run.top1.values;
  const auto goal = static_cast<float>(theirs.best().top1());
  const auto reached =
      std::find_if(values.begin(), values.end(), [&](float v) { return v >= goal; });
  if (reached != values.end()) {
    comparison.set_epochs_to_twins_best(reached - values.begin() + 1);
  }
  comparison.set_stability_difference(ours.gradients().stability() -
                                      theirs.gradients().stability());
  const std::string how = HowComputed(ours), its = HowComputed(theirs);
  if (how != its) {
    comparison.set_note(
        absl::StrCat("peak and speed not compared: computed with ", how, "; the twin with ", its));
    return comparison;
  }
  comparison.set_peak_bytes_ratio(Ratio(static_cast<double>(ours.memory().peak_bytes()),
                                        static_cast<double>(theirs.memory().peak_bytes())));
  comparison.set_images_per_s_ratio(Ratio(ours.images_per_s(), theirs.images_per_s()));
  return comparison;
}

}  // namespace

RunFacts MakeRunFacts(const RunRecord& record) {
  RunFacts facts;
  facts.run = record.detail.run();
  facts.spec = record.detail.spec();
  if (!record.detail.has_result()) return facts;
  facts.result = record.detail.result();
  facts.classes = std::lround(std::sqrt(facts.result->best().confusion_size()));
  facts.result->mutable_best()->clear_confusion();
  facts.result->mutable_final()->clear_confusion();
  const int64_t steps = record.detail.run().total_steps();
  facts.top1 = Thinned(FindCurve(record, "eval/top1"), steps, kWhole);
  facts.loss = Thinned(FindCurve(record, "loss"), steps, kThinned);
  facts.gradient_norm = Thinned(FindCurve(record, "gradient_norm"), steps, kThinned);
  facts.layers = LayerGradients(record);
  return facts;
}

v1::ResultsFile MakeResultsFile(const RunRecord& record) {
  const v1::RunDetail& detail = record.detail;
  const v1::RunResult& result = detail.result();
  v1::ResultsFile file;
  file.set_run(detail.run().name());
  file.set_run_id(detail.run().id());
  file.set_key(detail.run().key());
  file.set_model(detail.spec().model().name());
  file.set_dataset(detail.spec().dataset().name());
  file.set_seed(detail.spec().seed());
  *file.mutable_best() = result.best();
  *file.mutable_final() = result.final();
  if (result.has_merged()) *file.mutable_merged() = result.merged();
  if (result.has_requantized()) *file.mutable_requantized() = result.requantized();
  *file.mutable_convergence() = MakeConvergence(record);
  file.mutable_parameters()->set_total(AllParameters(detail.spec(), result));
  file.mutable_parameters()->set_trainable(result.trainable_parameters());
  file.mutable_parameters()->set_trainable_share(
      Ratio(static_cast<double>(result.trainable_parameters()),
            static_cast<double>(file.parameters().total())));
  v1::ModelSize& size = *file.mutable_model_size();
  size.set_fp32_bytes(result.quantization().bytes_before());
  size.set_held_bytes(result.quantization().bytes_after());
  size.set_reduction(
      1 - Ratio(static_cast<double>(size.held_bytes()), static_cast<double>(size.fp32_bytes())));
  *file.mutable_lora() = MakeLoraFacts(detail.spec(), result);
  v1::Resources& resources = *file.mutable_resources();
  resources.set_train_seconds(result.train_seconds());
  resources.set_images_per_s(result.images_per_s());
  *resources.mutable_memory() = result.memory();
  resources.set_cpu(result.provenance().cpu());
  resources.set_threads(result.provenance().threads());
  resources.set_instruction_set(result.provenance().instruction_set());
  *file.mutable_provenance()->mutable_software() = result.provenance();
  AddAttempts(detail, file.mutable_provenance()->mutable_attempts());
  if (detail.run().reused_run_id() != 0) {
    file.mutable_provenance()->set_reused_run_id(detail.run().reused_run_id());
  }
  *file.mutable_curves() = {record.curves.begin(), record.curves.end()};
  *file.mutable_files() = result.files();
  return file;
}

v1::QuantizationFile MakeQuantizationFile(const RunFacts& run, const RunFacts* twin) {
  v1::QuantizationFile file;
  file.set_run(run.run.name());
  file.set_quantization(QuantizationLabel(run.spec.quantization()));
  *file.mutable_memory() = CheckMemory(run);
  *file.mutable_verification() = Verify(run.result->quantization());
  *file.mutable_gradient_flow() = FlowOf(run);
  if (twin != nullptr) *file.mutable_twin() = CompareWithTwin(run, *twin);
  *file.mutable_process() = run.result->memory();
  return file;
}

v1::ErrorFile MakeErrorFile(const v1::RunDetail& detail) {
  const v1::Run& run = detail.run();
  v1::ErrorFile file;
  file.set_run(run.name());
  file.set_run_id(run.id());
  file.set_state(StateName(run.state()));
  if (run.blame() != v1::BLAME_UNSPECIFIED) file.set_blame(BlameName(run.blame()));
  file.set_error(run.error());
  file.set_step(run.step());
  file.set_total_steps(run.total_steps());
  AddAttempts(detail, file.mutable_attempts());
  for (const v1::HistoryLine& line : detail.history()) {
    file.add_history(absl::StrCat(UtcText(line.unix_us()), " ", line.text()));
  }
  file.set_log_tail(detail.log_tail());
  return file;
}

std::string LogText(const std::vector<v1::LogRecord>& logs) {
  std::string text;
  for (const v1::LogRecord& line : logs) {
    absl::StrAppend(&text, UtcText(line.unix_us()), " attempt ", line.attempt(), " ", line.level(),
                    " ", absl::StrReplaceAll(line.text(), {{"\n", "\n  "}}), "\n");
  }
  return text;
}

}  // namespace qsweep
