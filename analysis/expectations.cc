#include "analysis/expectations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "analysis/run_files.h"
#include "analysis/statistics.h"
#include "common/spec/pairs.h"

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
    out->set_reason("no interval: fewer than two pairs, or no variance among them");
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
  Judge(expected, statistic.n() > 0 ? std::optional(statistic.mean()) : std::nullopt,
        statistic.has_ci_low() ? std::optional(Interval{statistic.ci_low(), statistic.ci_high()})
                               : std::nullopt,
        kInterval, out);
}

// ---- memory

void AddMemory(const std::vector<Group>& groups, bool peak, std::vector<v1::Expectation>* out) {
  struct Seen {
    v1::Quantization quantization;
    Expected expected;
    double low = kInfinity, high = -kInfinity, sum = 0;
    int n = 0;
  };
  std::vector<std::pair<std::string, Seen>> all;  // by model and quantization
  for (const Group& group : groups) {
    const v1::GroupSummary& summary = group.summary;
    Expected expected{.unit = "share"};
    if (!ExpectedReduction(group.spec.quantization(), &expected.low, &expected.high)) continue;
    const std::string scope = absl::StrCat(summary.model(), ", ", summary.quantization());
    auto it = std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.first == scope; });
    if (it == all.end()) it = all.insert(all.end(), {scope, {group.spec.quantization(), expected}});
    if (summary.top1().n() == 0 || (peak && !summary.has_peak_reduction())) continue;
    const double reduction = peak ? summary.peak_reduction() : summary.weights_reduction();
    it->second.low = std::min(it->second.low, reduction);
    it->second.high = std::max(it->second.high, reduction);
    it->second.sum += reduction;
    ++it->second.n;
  }
  for (const auto& [scope, seen] : all) {
    const Expected& expected = seen.expected;
    v1::Expectation& e = out->emplace_back();
    e.set_claim(absl::StrCat(
        BitsLabel(seen.quantization),
        seen.quantization.double_quant() ? " with double quantization" : "", " takes ",
        std::lround(100 * expected.low), " to ", std::lround(100 * expected.high),
        " % less memory (",
        peak ? "peak while training, against the unquantized base" : "weights, against fp32", ")"));
    e.set_scope(scope);
    if (seen.n == 0) {
      Judge(expected, std::nullopt, std::nullopt, kInterval, &e);
    } else {
      Judge(expected, seen.sum / seen.n, Interval{seen.low, seen.high}, "spread of the groups", &e);
    }
  }
}

// ---- accuracy and variation: over pairs

struct PairValues {
  v1::Quantization quantization;
  std::string model, dataset;
  int64_t parameters = 0;
  std::vector<double> points;     // lost top-1, in points
  std::vector<double> variation;  // log of the ratio of sd / mean of the gradient norm
};

double Variation(const v1::GradientSummary& gradients) {
  return gradients.norm_mean() > 0 ? gradients.norm_std() / gradients.norm_mean() : 0;
}

std::vector<PairValues> CollectPairs(const std::vector<RunFacts>& runs,
                                     const std::vector<std::optional<size_t>>& twins) {
  std::vector<PairValues> all;
  std::map<std::string, size_t> index;
  for (size_t i = 0; i < runs.size(); ++i) {
    const v1::ExperimentSpec& spec = runs[i].spec;
    if (!Trains(spec) || !IsOneKind(spec.quantization())) continue;
    const auto [it, added] =
        index.try_emplace(absl::StrCat(spec.model().name(), "\n", spec.dataset().name(), "\n",
                                       QuantizationLabel(spec.quantization())),
                          all.size());
    if (added) all.push_back({spec.quantization(), spec.model().name(), spec.dataset().name()});
    if (!twins[i].has_value()) continue;
    PairValues& values = all[it->second];
    const v1::RunResult &ours = *runs[i].result, &theirs = *runs[*twins[i]].result;
    values.parameters = theirs.total_parameters();
    const double lost = 100 * (theirs.best().top1() - ours.best().top1());
    if (std::isfinite(lost)) values.points.push_back(lost);
    const double a = Variation(ours.gradients()), b = Variation(theirs.gradients());
    if (a > 0 && b > 0) values.variation.push_back(std::log(a / b));
  }
  return all;
}

std::string ScopeOf(const PairValues& pairs) {
  return absl::StrCat(pairs.model, ", ", pairs.dataset, ", ",
                      QuantizationLabel(pairs.quantization));
}

void AddAccuracy(const std::vector<PairValues>& all, std::vector<v1::Expectation>* out) {
  for (const PairValues& pairs : all) {
    const bool eight = pairs.quantization.bits() == 8;
    v1::Expectation& e = out->emplace_back();
    e.set_claim(eight ? "8-bit costs less than 2 points of top-1"
                      : "4-bit costs 2 to 5 points of top-1");
    e.set_scope(ScopeOf(pairs));
    const Expected expected{eight ? -kInfinity : 2, eight ? 2.0 : 5.0, "points"};
    JudgeStatistic(expected, TestPairs(pairs.points).difference(), &e);
  }
}

void AddVariation(const std::vector<PairValues>& all, std::vector<v1::Expectation>* out) {
  for (const PairValues& pairs : all) {
    const bool eight = pairs.quantization.bits() == 8;
    const double limit = eight ? 0.10 : 0.25;
    v1::Expectation& e = out->emplace_back();
    e.set_claim(absl::StrCat(eight ? "8-bit has a minimal" : "4-bit has a moderate",
                             " effect on the gradients' variation (sd/mean of the norm within ",
                             std::lround(100 * limit), " %)"));
    e.set_scope(ScopeOf(pairs));
    v1::Statistic ratio = TestPairs(pairs.variation).difference();  // of logarithms
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
      if (large.dataset != small.dataset || small.parameters >= large.parameters ||
          QuantizationLabel(large.quantization) != QuantizationLabel(small.quantization)) {
        continue;
      }
      const v1::Statistic a = Describe(small.points), b = Describe(large.points);
      v1::Expectation& e = out->emplace_back();
      e.set_claim("the larger model loses less top-1");
      e.set_scope(absl::StrCat(large.model, " against ", small.model, ", ", large.dataset, ", ",
                               QuantizationLabel(large.quantization)));
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
  AddMemory(groups, /*peak=*/false, &expectations);
  AddMemory(groups, /*peak=*/true, &expectations);
  const std::vector<PairValues> pairs = CollectPairs(runs, twins);
  AddAccuracy(pairs, &expectations);
  AddModelSizes(pairs, &expectations);
  AddVariation(pairs, &expectations);
  return expectations;
}

}  // namespace qsweep
