#include "analysis/statistics.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace qsweep {
namespace {

namespace math = boost::math;

constexpr size_t kExactWilcoxon = 50;

// Quantile of Student's t for a two-sided interval.
double TQuantile(double degrees_of_freedom) {
  return math::quantile(math::students_t(degrees_of_freedom), 1 - (1 - kConfidence) / 2);
}

double UpperTail(double t, double degrees_of_freedom) {
  return math::cdf(math::complement(math::students_t(degrees_of_freedom), t));
}

struct RankedDifference {
  double value;
  int64_t doubled_rank;  // mean ranks of ties are multiples of one half
};

// What two differences may differ by and still be one: each is a subtraction of shares, and equal
// counts of images do not come out of it as equal doubles.
constexpr double kRounding = 1e-12;

// Without zeros, by magnitude.
std::vector<RankedDifference> SignedRanks(const std::vector<double>& differences) {
  double scale = 1;
  for (const double d : differences) scale = std::max(scale, std::abs(d));
  std::vector<RankedDifference> ranked;
  for (const double d : differences) {
    if (std::abs(d) > kRounding * scale) ranked.push_back({d, 0});
  }
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return std::abs(a.value) < std::abs(b.value); });
  for (size_t begin = 0; begin < ranked.size();) {
    size_t end = begin;
    while (end < ranked.size() &&
           std::abs(ranked[end].value) <= std::abs(ranked[begin].value) + kRounding * scale) {
      ++end;
    }
    // Ranks begin + 1 .. end; their mean, doubled.
    for (size_t i = begin; i < end; ++i)
      ranked[i].doubled_rank = static_cast<int64_t>(begin + 1 + end);
    begin = end;
  }
  return ranked;
}

// P(W <= w or W >= total - w) over all 2^n equally likely signs, w the smaller sum.
double ExactWilcoxonP(const std::vector<RankedDifference>& ranked, int64_t doubled_w) {
  int64_t total = 0;
  for (const RankedDifference& r : ranked) total += r.doubled_rank;
  std::vector<double> probability(static_cast<size_t>(total) + 1);
  probability[0] = 1;
  for (const RankedDifference& r : ranked) {
    for (int64_t sum = total; sum >= 0; --sum) {
      double& p = probability[static_cast<size_t>(sum)];
      p /= 2;
      if (sum >= r.doubled_rank) p += probability[static_cast<size_t>(sum - r.doubled_rank)] / 2;
    }
  }
  const int64_t smaller = std::min(doubled_w, total - doubled_w);
  double tail = 0;
  for (int64_t sum = 0; sum <= smaller; ++sum) tail += probability[static_cast<size_t>(sum)];
  return std::min(1.0, 2 * tail);
}

double ApproximateWilcoxonP(const std::vector<RankedDifference>& ranked, double w) {
  const double n = static_cast<double>(ranked.size());
  double variance = n * (n + 1) * (2 * n + 1) / 24;
  for (size_t begin = 0; begin < ranked.size();) {
    size_t end = begin;
    while (end < ranked.size() && ranked[end].doubled_rank == ranked[begin].doubled_rank) ++end;
    const double ties = static_cast<double>(end - begin);
    variance -= (ties * ties * ties - ties) / 48;
    begin = end;
  }
  const double distance = std::max(0.0, std::abs(w - n * (n + 1) / 4) - 0.5);
  return std::min(1.0,
                  2 * math::cdf(math::complement(math::normal(), distance / std::sqrt(variance))));
}

void AddWilcoxon(const std::vector<double>& differences, v1::PairedResult* result) {
  const std::vector<RankedDifference> ranked = SignedRanks(differences);
  if (ranked.empty()) return;
  int64_t positive = 0, total = 0;
  for (const RankedDifference& r : ranked) {
    total += r.doubled_rank;
    if (r.value > 0) positive += r.doubled_rank;
  }
  const double w = static_cast<double>(positive) / 2;
  const bool exact = ranked.size() <= kExactWilcoxon;
  result->set_w(w);
  result->set_wilcoxon_exact(exact);
  result->set_p_wilcoxon(exact ? ExactWilcoxonP(ranked, positive)
                               : ApproximateWilcoxonP(ranked, w));
  result->set_rank_biserial(static_cast<double>(2 * positive - total) / static_cast<double>(total));
}

void AddTTest(const v1::Statistic& difference, v1::PairedResult* result) {
  const double n = difference.n(), degrees = n - 1;
  const double t = difference.mean() / (difference.sd() / std::sqrt(n));
  result->set_t(t);
  result->set_degrees_of_freedom(degrees);
  result->set_p_t(std::min(1.0, 2 * UpperTail(std::abs(t), degrees)));
  const double d = difference.mean() / difference.sd();
  result->set_cohens_dz(d);
  // Hedges (1981): the exact factor, which is 0 for two pairs and so says nothing there.
  if (n >= 3) {
    result->set_hedges_gz(d * math::tgamma_ratio(degrees / 2, (degrees - 1) / 2) /
                          std::sqrt(degrees / 2));
  }
}

bool AllTheSame(const std::vector<double>& values) {
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return *greatest - *least <= kRounding * std::max(1.0, std::abs(*greatest));
}

std::vector<double> Finite(const std::vector<double>& values) {
  std::vector<double> finite;
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  return finite;
}

v1::PairedResult TestFinite(const std::vector<double>& finite) {
  v1::PairedResult result;
  *result.mutable_difference() = Describe(finite);
  if (finite.empty()) {
    result.set_note("no pair of runs to compare");
  } else if (finite.size() == 1) {
    result.set_note("one seed: no interval and no test");
  } else if (AllTheSame(finite)) {
    result.mutable_difference()->clear_ci_low();
    result.mutable_difference()->clear_ci_high();
    AddWilcoxon(finite, &result);
    result.set_note(result.has_p_wilcoxon()
                        ? "every difference is the same: no interval and no t-test"
                        : "every difference is 0: no test applies");
  } else {
    AddTTest(result.difference(), &result);
    AddWilcoxon(finite, &result);
  }
  return result;
}

}  // namespace

v1::Statistic Describe(const std::vector<double>& values) {
  v1::Statistic statistic;
  if (values.empty()) return statistic;
  const double n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;  // about the mean, so nothing cancels
  for (const double value : values) squares += (value - mean) * (value - mean);
  statistic.set_n(static_cast<int32_t>(values.size()));
  statistic.set_mean(mean);
  if (values.size() < 2) return statistic;
  statistic.set_sd(std::sqrt(squares / (n - 1)));
  const double half = std::isfinite(statistic.sd())
                          ? TQuantile(n - 1) * statistic.sd() / std::sqrt(n)
                          : statistic.sd();
  statistic.set_ci_low(mean - half);
  statistic.set_ci_high(mean + half);
  return statistic;
}

std::vector<double> SeedMeans(const BySeed& values) {
  std::vector<double> means;
  for (const auto& [seed, all] : values) {
    const std::vector<double> finite = Finite(all);
    if (!finite.empty()) means.push_back(Describe(finite).mean());
  }
  return means;
}

v1::PairedResult TestSeeds(const BySeed& differences) {
  v1::PairedResult result = TestFinite(SeedMeans(differences));
  size_t tested = 0, all = 0;
  for (const auto& [seed, values] : differences) {
    tested += Finite(values).size();
    all += values.size();
  }
  result.set_pairs(static_cast<int32_t>(tested));
  result.set_excluded(static_cast<int32_t>(all - tested));
  if (tested == all) return result;
  result.set_note(absl::StrCat(result.note(), result.note().empty() ? "" : "; ", result.excluded(),
                               " left out, not a number"));
  return result;
}

std::vector<std::optional<double>> HolmAdjusted(const std::vector<std::optional<double>>& p) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i].has_value() && std::isfinite(*p[i])) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&p](size_t a, size_t b) { return *p[a] < *p[b]; });
  std::vector<std::optional<double>> adjusted(p.size());
  double largest = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    largest =
        std::max(largest, std::min(1.0, static_cast<double>(order.size() - k) * *p[order[k]]));
    adjusted[order[k]] = largest;
  }
  return adjusted;
}

std::optional<double> NonInferiorityP(const v1::Statistic& difference, double margin) {
  if (difference.n() < 2 || !difference.has_ci_low() || !(difference.sd() > 0)) return std::nullopt;
  const double n = difference.n();
  return UpperTail((difference.mean() + margin) / (difference.sd() / std::sqrt(n)), n - 1);
}

std::optional<Interval> WelchInterval(const v1::Statistic& a, const v1::Statistic& b) {
  if (a.n() < 2 || b.n() < 2) return std::nullopt;
  const double va = a.sd() * a.sd() / a.n(), vb = b.sd() * b.sd() / b.n();
  if (!(va + vb > 0)) return std::nullopt;
  const double degrees = (va + vb) * (va + vb) / (va * va / (a.n() - 1) + vb * vb / (b.n() - 1));
  const double half = TQuantile(degrees) * std::sqrt(va + vb), apart = a.mean() - b.mean();
  return Interval{apart - half, apart + half};
}

}  // namespace qsweep
