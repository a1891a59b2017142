#include "analysis/expectations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "analysis/by_scope.h"
#include "analysis/claims.h"
#include "analysis/comparison.h"
#include "analysis/statistics.h"

namespace qsweep {
namespace {

constexpr char kInterval[] = "95 % interval";
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string BitsLabel(const v1::Quantization& quantization) {
  return quantization.bits() == 8 ? "8-bit" : "4-bit";
}

// A range of values and how it is told.
struct Expected {
  double low = -kInfinity, high = kInfinity;
  std::string unit;
};

// `what` the interval is: of 95 %, or not.
void Judge(const Expected& expected, std::optional<double> measured,
           std::optional<Interval> interval, const char* what, v1::Expectation* out) {
  out->set_unit(expected.unit);
  if (std::isfinite(expected.low)) out->set_expected_low(expected.low);
  if (std::isfinite(expected.high)) out->set_expected_high(expected.high);
  if (measured.has_value()) out->set_measured(*measured);
  if (!measured.has_value()) {
    out->set_verdict("no data");
    out->set_reason("no finished pair of runs");
    return;
  }
  if (!interval.has_value()) {
    out->set_verdict("undecided");
    out->set_reason("no interval: fewer than two seeds, or no variance among them");
    return;
  }
  out->set_ci_low(interval->low);
  out->set_ci_high(interval->high);
  const bool above = interval->low > expected.high, below = interval->high < expected.low;
  const bool inside = interval->low >= expected.low && interval->high <= expected.high;
  out->set_verdict(inside ? "met" : above || below ? "not met" : "undecided");
  out->set_reason(above    ? "more than expected"
                  : below  ? "less than expected"
                  : inside ? absl::StrCat("the whole ", what, " is in the range")
                           : absl::StrCat("the ", what, " crosses the border of the range"));
}

void JudgeStatistic(const Expected& expected, const v1::Statistic& statistic,
                    v1::Expectation* out) {
  out->set_n(statistic.n());
  Judge(expected, statistic.n() > 0 ? std::optional(statistic.mean()) : std::nullopt,
        statistic.has_ci_low() ? std::optional(Interval{statistic.ci_low(), statistic.ci_high()})
                               : std::nullopt,
        kInterval, out);
}

std::string ScopeText(const v1::ExperimentSpec& scope, const std::string& quantization) {
  return absl::StrCat(scope.model().name(), ", ", scope.dataset().name(), ", ", quantization);
}

// ---- memory

struct MemorySeen {
  v1::ExperimentSpec scope;
  Expected expected;
  std::vector<double> reductions;  // of each group
  std::string note;                // why one has none
};

void AddGroup(const Group& group, MemoryKind kind, MemorySeen* seen) {
  const v1::GroupSummary& summary = group.summary;
  if (summary.top1().n() == 0) return;
  if (kind == MemoryKind::kWeights) {
    seen->reductions.push_back(summary.weights_reduction());
  } else if (summary.has_peak_reduction()) {
    seen->reductions.push_back(summary.peak_reduction());
  } else {
    seen->note = summary.note();
  }
}

std::string MemoryClaim(const MemorySeen& seen, MemoryKind kind) {
  const v1::Quantization& quantization = seen.scope.quantization();
  return absl::StrCat(
      BitsLabel(quantization), quantization.double_quant() ? " with double quantization" : "",
      " takes ", std::lround(100 * seen.expected.low), " to ",
      std::lround(100 * seen.expected.high), " % less memory (",
      kind == MemoryKind::kPeak ? "peak while training, against the unquantized base"
                                : "weights, against fp32",
      ")");
}

void JudgeMemory(const MemorySeen& seen, v1::Expectation* out) {
  out->set_n(static_cast<int32_t>(seen.reductions.size()));
  if (seen.reductions.empty()) {
    Judge(seen.expected, std::nullopt, std::nullopt, kInterval, out);
    if (!seen.note.empty()) out->set_reason(seen.note);
    return;
  }
  const auto [low, high] = std::minmax_element(seen.reductions.begin(), seen.reductions.end());
  Judge(seen.expected, Describe(seen.reductions).mean(), Interval{*low, *high},
        "spread of the groups", out);
}

void AddMemory(const std::vector<Group>& groups, MemoryKind kind,
               std::vector<v1::Expectation>* out) {
  ByScope<MemorySeen> all;
  for (const Group& group : groups) {
    const auto expected = ExpectedReduction(group.spec.quantization());
    if (!expected.has_value()) continue;
    MemorySeen& seen = all.At(PairScope(group.spec, Pooling::kOverAdapters));
    seen.expected = {expected->low, expected->high, "share"};
    AddGroup(group, kind, &seen);
  }
  const std::vector<std::string> names = all.names();
  for (size_t i = 0; i < names.size(); ++i) {
    const MemorySeen& seen = all.values()[i];
    v1::Expectation& e = out->emplace_back();
    e.set_claim(MemoryClaim(seen, kind));
    e.set_scope(ScopeText(seen.scope, names[i]));
    JudgeMemory(seen, &e);
  }
}

// ---- accuracy and variation: over pairs

// Of what PairScope keeps together: other pairs would not be of one kind.
struct PairValues {
  v1::ExperimentSpec scope;
  std::string quantization;  // its name
  int64_t parameters = 0;
  BySeed points;     // lost top-1, in points
  BySeed variation;  // log of the ratio of sd / mean of the gradient norm

  std::string Text() const { return ScopeText(scope, quantization); }
  bool eight_bits() const { return scope.quantization().bits() == 8; }
};

double Variation(const v1::GradientSummary& gradients) {
  return gradients.norm_mean() > 0 ? gradients.norm_std() / gradients.norm_mean() : 0;
}

std::vector<PairValues> CollectPairs(const std::vector<RunFacts>& runs,
                                     const std::vector<std::optional<size_t>>& twins) {
  ByScope<PairValues> all;
  for (size_t i = 0; i < runs.size(); ++i) {
    const v1::ExperimentSpec& spec = runs[i].spec;
    if (!Trains(spec) || !IsOneKind(spec.quantization())) continue;
    PairValues& values = all.At(PairScope(spec, Pooling::kOverAdapters));
    if (!twins[i].has_value()) continue;
    const v1::RunResult &ours = *runs[i].result, &theirs = *runs[*twins[i]].result;
    values.parameters = theirs.total_parameters();
    const double lost = 100 * (theirs.best().top1() - ours.best().top1());
    if (std::isfinite(lost)) values.points[spec.seed()].push_back(lost);
    const double a = Variation(ours.gradients()), b = Variation(theirs.gradients());
    if (a > 0 && b > 0) values.variation[spec.seed()].push_back(std::log(a / b));
  }
  const std::vector<std::string> names = all.names();
  for (size_t i = 0; i < names.size(); ++i) all.values()[i].quantization = names[i];
  return std::move(all.values());
}

void AddAccuracy(const std::vector<PairValues>& all, std::vector<v1::Expectation>* out) {
  for (const PairValues& pairs : all) {
    const bool eight = pairs.eight_bits();
    v1::Expectation& e = out->emplace_back();
    const double low = 100 * kEightBitLoss, high = 100 * kFourBitLoss;
    e.set_claim(eight ? absl::StrCat("8-bit costs less than ", low, " points of top-1")
                      : absl::StrCat("4-bit costs ", low, " to ", high, " points of top-1"));
    e.set_scope(pairs.Text());
    const Expected expected{eight ? -kInfinity : low, eight ? low : high, "points"};
    const v1::PairedResult lost = TestSeeds(pairs.points);
    e.set_pairs(lost.pairs());
    JudgeStatistic(expected, lost.difference(), &e);
  }
}

void AddVariation(const std::vector<PairValues>& all, std::vector<v1::Expectation>* out) {
  for (const PairValues& pairs : all) {
    const bool eight = pairs.eight_bits();
    const double limit = ExpectedVariation(pairs.scope.quantization());
    v1::Expectation& e = out->emplace_back();
    e.set_claim(absl::StrCat(eight ? "8-bit has a minimal" : "4-bit has a moderate",
                             " effect on the gradients' variation (sd/mean of the norm within ",
                             std::lround(100 * limit), " %)"));
    e.set_scope(pairs.Text());
    const v1::PairedResult logarithms = TestSeeds(pairs.variation);
    e.set_pairs(logarithms.pairs());
    v1::Statistic ratio = logarithms.difference();
    ratio.set_mean(std::exp(ratio.mean()) - 1);
    if (ratio.has_ci_low()) {
      ratio.set_ci_low(std::exp(ratio.ci_low()) - 1);
      ratio.set_ci_high(std::exp(ratio.ci_high()) - 1);
    }
    JudgeStatistic({-limit, limit, "share"}, ratio, &e);
  }
}

void AddModelSizes(const std::vector<PairValues>& all, std::vector<v1::Expectation>* out) {
  for (const PairValues& large : all) {
    for (const PairValues& small : all) {
      v1::ExperimentSpec same = small.scope;
      *same.mutable_model() = large.scope.model();
      if (small.parameters == 0 || small.parameters >= large.parameters ||
          same.SerializeAsString() != large.scope.SerializeAsString()) {
        continue;
      }
      const v1::PairedResult lost_small = TestSeeds(small.points),
                             lost_large = TestSeeds(large.points);
      const v1::Statistic &a = lost_small.difference(), &b = lost_large.difference();
      v1::Expectation& e = out->emplace_back();
      e.set_n(std::min(a.n(), b.n()));
      e.set_pairs(lost_small.pairs() + lost_large.pairs());
      e.set_claim("the larger model loses less top-1");
      e.set_scope(absl::StrCat(large.scope.model().name(), " against ", small.scope.model().name(),
                               ", ", large.scope.dataset().name(), ", ", large.quantization));
      Judge({0, kInfinity, "points"},
            a.n() > 0 && b.n() > 0 ? std::optional(a.mean() - b.mean()) : std::nullopt,
            WelchInterval(a, b), kInterval, &e);
    }
  }
}

}  // namespace

std::vector<v1::Expectation> JudgeExpectations(const std::vector<RunFacts>& runs,
                                               const std::vector<std::optional<size_t>>& twins,
                                               const std::vector<Group>& groups) {
  std::vector<v1::Expectation> expectations;
  AddMemory(groups, MemoryKind::kWeights, &expectations);
  AddMemory(groups, MemoryKind::kPeak, &expectations);
  const std::vector<PairValues> pairs = CollectPairs(runs, twins);
  AddAccuracy(pairs, &expectations);
  AddModelSizes(pairs, &expectations);
  AddVariation(pairs, &expectations);
  return expectations;
}

}  // namespace qsweep
