// Statistics of a few repetitions. Distributions are Boost.Math's. Values that are not numbers are
// the caller's to take out where nothing else is said.
#ifndef QSWEEP_ANALYSIS_STATISTICS_H_
#define QSWEEP_ANALYSIS_STATISTICS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "qsweep/v1/report.pb.h"
#include "qsweep/v1/summary.pb.h"

namespace qsweep {

// Of all intervals; non-inferiority uses the same interval's lower end, so its one-sided level is
// 2.5 %.
inline constexpr double kConfidence = 0.95;

// Mean and, from two values on, the standard deviation of the sample and the 95 % interval of the
// mean by Student's t. No value: n = 0.
v1::Statistic Describe(const std::vector<double>& values);
// Of its interval: what follows the ±.
inline double HalfWidth(const v1::Statistic& statistic) {
  return (statistic.ci_high() - statistic.ci_low()) / 2;
}

// Values by what is independent of all others: the seed. Those of one seed, of several ranks, say,
// share their data order, and a test that counted them one by one would find too much.
using BySeed = std::map<int64_t, std::vector<double>>;
// Of each seed the mean of its finite values; seeds without one are left out.
std::vector<double> SeedMeans(const BySeed& values);
// Paired differences, as means of seeds, against zero: t-test, Wilcoxon's signed-rank test, effect
// sizes. Pairs are counted one by one, and those left out because they are not finite. What has no
// answer is unset and `note` says why:
//   no pair left                   nothing is set
//   one seed                       the difference alone
//   all differences the same       no t-test, interval or d (the variance is 0); Wilcoxon unless
//                                  they are 0
//   all differences 0              no test at all
// Wilcoxon drops zeros and gives ties their mean rank; its p is exact (the permutation distribution
// of those ranks) up to 50 differences.
v1::PairedResult TestSeeds(const BySeed& differences);

// Step-down Bonferroni (Holm, 1979): adjusted p in the order given, each at most 1. Unset p stay
// unset and are not of the family.
std::vector<std::optional<double>> HolmAdjusted(const std::vector<std::optional<double>>& p);

// Sets p_holm of all messages whose PairedResult has a t-test; they are the family.
template <typename Messages, typename ResultOf>
void SetHolm(ResultOf result_of, Messages* messages) {
  std::vector<std::optional<double>> p;
  for (const auto& message : *messages) {
    const v1::PairedResult& result = std::invoke(result_of, message);
    p.push_back(result.has_p_t() ? std::optional(result.p_t()) : std::nullopt);
  }
  auto message = messages->begin();
  for (const std::optional<double>& adjusted : HolmAdjusted(p)) {
    if (adjusted.has_value()) message->set_p_holm(*adjusted);
    ++message;
  }
}

// One-sided t-test of H0: mean difference <= -margin. Unset without a variance.
std::optional<double> NonInferiorityP(const v1::Statistic& difference, double margin);

// 95 % interval of mean(a) - mean(b), unequal variances (Welch, 1947). Unset below two values on
// either side or without any variance.
struct Interval {
  double low = 0, high = 0;
};
std::optional<Interval> WelchInterval(const v1::Statistic& a, const v1::Statistic& b);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_STATISTICS_H_
