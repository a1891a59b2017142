#include "analysis/comparison.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "analysis/by_scope.h"
#include "analysis/claims.h"
#include "analysis/statistics.h"
#include "analysis/summary.h"
#include "common/spec/pairs.h"

namespace qsweep {
namespace {

std::string AdapterLabel(const v1::ExperimentSpec& spec) {
  const v1::Lora& lora = spec.lora();
  if (spec.training().method() != "lora") return spec.training().method();
  return absl::StrCat("r", lora.rank(), " α", lora.alpha());
}

struct Pairs {
  v1::ExperimentSpec scope;
  BySeed differences;
};

// Non-inferior if the whole interval lies above -margin, inferior if it lies below.
void JudgeMargin(const v1::Quantization& quantization, v1::Comparison* comparison) {
  const double margin = ExpectedLoss(quantization);
  comparison->set_margin(margin);
  const v1::Statistic& difference = comparison->result().difference();
  if (difference.has_ci_low()) {
    comparison->set_non_inferiority(difference.ci_low() > -margin    ? "non-inferior"
                                    : difference.ci_high() < -margin ? "inferior"
                                                                     : "undecided");
  } else if (difference.n() > 0) {
    comparison->set_non_inferiority("undecided");
  }
  if (const auto p = NonInferiorityP(difference, margin)) comparison->set_p_non_inferiority(*p);
}

// What tells the comparisons apart that model, dataset, quantization and adapter do not.
std::vector<std::string> DifferencesOf(std::vector<v1::ExperimentSpec> scopes, Pooling pooling) {
  for (v1::ExperimentSpec& scope : scopes) {
    if (!scope.has_lora()) continue;
    scope.mutable_lora()->clear_rank();  // AdapterLabel's
    scope.mutable_lora()->clear_alpha();
  }
  return pooling == Pooling::kByAdapter ? Differences(scopes) : ScopeDifferences(scopes);
}

}  // namespace

v1::ExperimentSpec PairScope(const v1::ExperimentSpec& spec, Pooling pooling) {
  v1::ExperimentSpec scope = spec;
  scope.clear_seed();
  if (pooling == Pooling::kOverAdapters) scope.clear_lora();
  return scope;
}

std::vector<std::optional<size_t>> UnquantizedTwins(const std::vector<RunFacts>& runs) {
  absl::flat_hash_map<std::string, size_t> unquantized;
  for (size_t i = 0; i < runs.size(); ++i) {
    const v1::ExperimentSpec& spec = runs[i].spec;
    if (runs[i].result.has_value() && Trains(spec) && !TrainsQuantized(spec)) {
      unquantized.emplace(TwinKey(spec), i);
    }
  }
  std::vector<std::optional<size_t>> twins(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].result.has_value() || !TrainsQuantized(runs[i].spec)) continue;
    const auto twin = unquantized.find(TwinKey(runs[i].spec));
    if (twin != unquantized.end()) twins[i] = twin->second;
  }
  return twins;
}

std::vector<v1::Comparison> CompareWithUnquantized(const std::vector<RunFacts>& runs,
                                                   const std::vector<std::optional<size_t>>& twins,
                                                   Pooling pooling) {
  ByScope<Pairs> all;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!TrainsQuantized(runs[i].spec)) continue;
    Pairs& pairs = all.At(PairScope(runs[i].spec, pooling));
    if (twins[i].has_value()) {
      pairs.differences[runs[i].spec.seed()].push_back(runs[i].result->best().top1() -
                                                       runs[*twins[i]].result->best().top1());
    }
  }
  const std::vector<std::string> differs = DifferencesOf(all.scopes(), pooling);
  std::vector<v1::Comparison> comparisons;
  for (size_t i = 0; i < differs.size(); ++i) {
    const auto& [scope, differences] = all.values()[i];
    v1::Comparison& comparison = comparisons.emplace_back();
    comparison.set_model(scope.model().name());
    comparison.set_dataset(scope.dataset().name());
    comparison.set_method(scope.training().method());
    if (pooling == Pooling::kByAdapter) comparison.set_adapter(AdapterLabel(scope));
    comparison.set_differs(differs[i]);
    comparison.set_quantization(QuantizationLabel(scope.quantization()));
    *comparison.mutable_result() = TestSeeds(differences);
    JudgeMargin(scope.quantization(), &comparison);
  }
  SetHolm(&v1::Comparison::result, &comparisons);
  return comparisons;
}

}  // namespace qsweep
