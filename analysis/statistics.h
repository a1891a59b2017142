// Statistics of a few repetitions. Distributions are Boost.Math's. Values that are not numbers are
// the caller's to take out where nothing else is said.
#ifndef QSWEEP_ANALYSIS_STATISTICS_H_
#define QSWEEP_ANALYSIS_STATISTICS_H_

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

// Paired differences against zero: t-test, Wilcoxon's signed-rank test, effect sizes. Differences
// that are not finite are left out and counted. What has no answer is unset and `note` says why:
//   no pair left                   nothing is set
//   one pair                       the difference alone
//   all differences the same       no t-test, interval or d (the variance is 0); Wilcoxon unless
//                                  they are 0
//   all differences 0              no test at all
// Wilcoxon drops zeros and gives ties their mean rank; its p is exact (the permutation distribution
// of those ranks) up to 50 differences.
v1::PairedResult TestPairs(const std::vector<double>& differences);

// Step-down Bonferroni (Holm, 1979): adjusted p in the order given, each at most 1. Unset p stay
// unset and are not of the family.
std::vector<std::optional<double>> HolmAdjusted(const std::vector<std::optional<double>>& p);

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
