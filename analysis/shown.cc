#include "analysis/shown.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "analysis/numbers.h"
#include "common/hash.h"
#include "common/spec/datasets.h"
#include "common/spec/fields.h"
#include "common/spec/spec.h"

namespace qsweep {
namespace {

std::string FieldText(const RunFacts& run, absl::string_view path) {
  const SpecField& field = *FindSpecField(path);
  const bool adapters = run.spec.training().method() == "lora";
  if (!IsSet(run.spec, field) || (absl::StartsWith(path, "lora.") && !adapters)) return "";
  return ValueText(run.spec, field);
}

// Of another run's result as much of its key as tells it from all others.
std::string InitialWeights(const RunFacts& run, absl::string_view) {
  constexpr size_t kKeyShown = 12;
  const std::optional<std::string> producer = ProducerOf(run.spec.model());
  if (!producer.has_value() || !IsSha256Hex(*producer)) return FieldText(run, "model.weights");
  return absl::StrCat("of the run with key ", producer->substr(0, kKeyShown));
}

// Of an imagefolder without a limit nobody knows it but the machine.
std::string TrainingImages(const RunFacts& run, absl::string_view) {
  const v1::Dataset& dataset = run.spec.dataset();
  const int64_t images = ImagesOf(dataset).train;
  if (images > 0) return absl::StrCat(images);
  return dataset.train_limit() > 0 ? absl::StrCat("at most ", dataset.train_limit()) : "";
}

std::string EvaluationImages(const RunFacts& run, absl::string_view) {
  return run.result.has_value() ? absl::StrCat(run.result->best().images()) : "";
}

std::string Optimizer(const RunFacts&, absl::string_view) { return "AdamW"; }

struct Row {
  const char* name;
  std::string (*text)(const RunFacts&, absl::string_view path);
  const char* path;
};
constexpr Row kRows[] = {
    {"Model", FieldText, "model.name"},
    {"Initial weights", InitialWeights, ""},
    {"Dataset", FieldText, "dataset.name"},
    {"Directory", FieldText, "dataset.path"},
    {"Classes", FieldText, "dataset.classes"},
    {"Training images", TrainingImages, ""},
    {"Evaluation images", EvaluationImages, ""},
    {"Image size", FieldText, "dataset.image_size"},
    {"Augmentation", FieldText, "dataset.augmentation"},
    {"Method", FieldText, "training.method"},
    {"Epochs, at most", FieldText, "training.num_epochs"},
    {"Batch size", FieldText, "dataset.batch_size"},
    {"Optimizer", Optimizer, ""},
    {"Learning rate", FieldText, "training.learning_rate"},
    {"Schedule", FieldText, "training.lr_scheduler"},
    {"Warmup steps", FieldText, "training.warmup_steps"},
    {"Weight decay", FieldText, "training.weight_decay"},
    {"LoRA rank", FieldText, "lora.rank"},
    {"LoRA alpha", FieldText, "lora.alpha"},
    {"LoRA dropout", FieldText, "lora.dropout"},
    {"LoRA modules", FieldText, "lora.target_modules"},
    {"Computed in", FieldText, "quantization.compute_dtype"},
};

// Empty unless all runs that trained say the same; those that know nothing (evaluation images of
// one without a result) have no say.
std::string SharedText(const Analysis& analysis, const Row& row) {
  std::string shared;
  for (const RunFacts& run : analysis.runs) {
    if (!Trains(run.spec)) continue;
    const std::string text = row.text(run, row.path);
    if (text.empty()) continue;
    if (!shared.empty() && text != shared) return "";
    shared = text;
  }
  return shared;
}

}  // namespace

std::vector<Setting> SharedSettings(const Analysis& analysis) {
  std::vector<Setting> settings;
  for (const Row& row : kRows) {
    std::string text = SharedText(analysis, row);
    if (!text.empty()) settings.push_back({row.name, std::move(text)});
  }
  return settings;
}

std::string GradientText(const v1::GradientSummary& gradients) {
  std::string text = absl::StrFormat("norm %.3g (sd %.2g), stability %.2f", gradients.norm_mean(),
                                     gradients.norm_std(), gradients.stability());
  if (const int64_t n = gradients.vanishing_windows(); n > 0) {
    absl::StrAppend(&text, ", vanishing in ", Plural(n, "window"));
  }
  if (const int64_t n = gradients.exploding_windows(); n > 0) {
    absl::StrAppend(&text, ", exploding in ", Plural(n, "window"));
  }
  if (!gradients.dead_adapters().empty()) {
    absl::StrAppend(&text, ", dead: ", absl::StrJoin(gradients.dead_adapters(), ", "));
  }
  return text;
}

std::string ConvergenceText(const v1::RunResult& result) {
  if (!result.has_convergence() || result.epochs() < 2) return "";
  const v1::EpochConvergence& c = result.convergence();
  return absl::StrFormat(
      "top-1 within 1 %% of its best from epoch %d, lowest loss in epoch %d; the loss changed by "
      "%+.2g an epoch at the end, oscillation %.2f",
      c.epochs_to_1_percent(), c.early_stopping_epoch(), c.loss_slope(), c.oscillation());
}

bool IsTelling(const v1::Expectation& expectation, double value) {
  return std::isfinite(value) && (expectation.unit() != "share" || std::abs(value) <= 10);
}

bool HasTellingInterval(const v1::Expectation& expectation) {
  return expectation.has_ci_low() && expectation.ci_low() < expectation.ci_high() &&
         IsTelling(expectation, expectation.ci_low()) &&
         IsTelling(expectation, expectation.ci_high());
}

}  // namespace qsweep
