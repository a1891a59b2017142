#include "analysis/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "common/file.h"

namespace qsweep {
namespace {

using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Made by SciPy (tests/golden/statistics.py).
const nlohmann::json& Golden() {
  static const auto& golden = *new nlohmann::json(nlohmann::json::parse(
      ReadFile(QSWEEP_SOURCE_DIR "/tests/golden/statistics.json", 1 << 20).value_or("{}")));
  return golden;
}

// Two implementations of the same distribution, in double.
void ExpectSame(double value, double golden, const std::string& what, double relative = 1e-9) {
  EXPECT_NEAR(value, golden, relative * std::max(1e-3, std::abs(golden))) << what;
}
// SciPy's quantile of Student's t is good to about 1e-8 only.
constexpr double kQuantile = 1e-6;

// Each difference is a seed's.
v1::PairedResult TestEach(const std::vector<double>& differences) {
  BySeed by_seed;
  for (const double difference : differences) {
    by_seed[static_cast<int64_t>(by_seed.size())] = {difference};
  }
  return TestSeeds(by_seed);
}

TEST(StatisticsTest, PairedTestsAsSciPy) {
  ASSERT_GE(Golden()["paired"].size(), 8u);
  for (const auto& golden : Golden()["paired"]) {
    const v1::PairedResult result = TestEach(golden["differences"].get<std::vector<double>>());
    const auto same = [&](const char* name, double value, double relative = 1e-9) {
      ExpectSame(value, golden[name], name, relative);
    };
    same("mean", result.difference().mean());
    same("sd", result.difference().sd());
    same("ci_low", result.difference().ci_low(), kQuantile);
    same("ci_high", result.difference().ci_high(), kQuantile);
    same("t", result.t());
    same("p_t", result.p_t());
    same("cohens_dz", result.cohens_dz());
    same("w", result.w());
    same("p_wilcoxon", result.p_wilcoxon());
    same("rank_biserial", result.rank_biserial());
    same("p_non_inferiority",
         NonInferiorityP(result.difference(), golden["margin"]).value_or(kNan));
    EXPECT_EQ(result.has_hedges_gz(), golden.contains("hedges_gz"));
    if (result.has_hedges_gz()) same("hedges_gz", result.hedges_gz());
    EXPECT_EQ(result.wilcoxon_exact(), golden["differences"].size() <= 50);
    EXPECT_EQ(result.note(), "");
  }
}

TEST(StatisticsTest, HolmAsByHand) {
  for (const auto& golden : Golden()["holm"]) {
    std::vector<std::optional<double>> p;
    for (const double value : golden["p"]) p.push_back(value);
    const auto adjusted = HolmAdjusted(p);
    for (size_t i = 0; i < p.size(); ++i) {
      ExpectSame(adjusted[i].value_or(kNan), golden["adjusted"][i], "adjusted");
    }
  }
  // What could not be tested is not of the family.
  const auto adjusted = HolmAdjusted({0.02, std::nullopt, 0.03, kNan});
  EXPECT_DOUBLE_EQ(adjusted[0].value_or(0), 0.04);
  EXPECT_FALSE(adjusted[1].has_value());
  EXPECT_DOUBLE_EQ(adjusted[2].value_or(0), 0.04);
  EXPECT_FALSE(adjusted[3].has_value());
  EXPECT_TRUE(HolmAdjusted({}).empty());
}

TEST(StatisticsTest, WelchAsSciPy) {
  for (const auto& golden : Golden()["welch"]) {
    const auto interval = WelchInterval(Describe(golden["a"].get<std::vector<double>>()),
                                        Describe(golden["b"].get<std::vector<double>>()));
    ASSERT_TRUE(interval.has_value());
    ExpectSame(interval->low, golden["low"], "low", kQuantile);
    ExpectSame(interval->high, golden["high"], "high", kQuantile);
  }
  EXPECT_FALSE(WelchInterval(Describe({1}), Describe({1, 2})).has_value());
  EXPECT_FALSE(WelchInterval(Describe({1, 1}), Describe({2, 2})).has_value());
}

TEST(DescribeTest, MeanAndSampleDeviation) {
  EXPECT_EQ(Describe({}).n(), 0);
  EXPECT_FALSE(Describe({3.0}).has_sd());
  EXPECT_FALSE(Describe({3.0}).has_ci_low());  // one seed has no interval
  const v1::Statistic s = Describe({1, 2, 3, 4});
  EXPECT_DOUBLE_EQ(s.mean(), 2.5);
  EXPECT_DOUBLE_EQ(s.sd(), std::sqrt(5.0 / 3.0));
  // Values far from zero with a small spread: the textbook sum of squares would lose it all.
  EXPECT_DOUBLE_EQ(Describe({1e9 + 1, 1e9 + 2, 1e9 + 3}).sd(), 1.0);
}

// Shares of 60 images: equal counts do not come out of the subtraction as equal doubles.
TEST(StatisticsTest, DifferencesOfEqualCountsAreTies) {
  const int base[] = {41, 40, 39, 44, 38, 42, 43, 37, 45, 36};
  const int more[] = {1, 4, 3, -5, 4, 3, -2, 0, 0, 2};
  std::vector<double> differences, counts;
  for (int i = 0; i < 10; ++i) {
    differences.push_back((base[i] + more[i]) / 60.0 - base[i] / 60.0);
    counts.push_back(more[i]);
  }
  const v1::PairedResult shares = TestEach(differences), whole = TestEach(counts);
  EXPECT_EQ(shares.w(), 25.5);
  EXPECT_DOUBLE_EQ(shares.p_wilcoxon(), whole.p_wilcoxon());
  EXPECT_DOUBLE_EQ(shares.p_wilcoxon(), 84 / 256.0);  // by enumeration of all signs
  EXPECT_EQ(shares.rank_biserial(), whole.rank_biserial());
}

TEST(StatisticsTest, DegenerateCasesHaveDefinedAnswers) {
  const v1::PairedResult none = TestEach({});
  EXPECT_EQ(none.difference().n(), 0);
  EXPECT_FALSE(none.has_p_t());
  EXPECT_THAT(none.note(), HasSubstr("no pair"));

  const v1::PairedResult one = TestEach({-0.01});
  EXPECT_DOUBLE_EQ(one.difference().mean(), -0.01);
  EXPECT_FALSE(one.has_p_t());
  EXPECT_FALSE(one.has_w());
  EXPECT_THAT(one.note(), HasSubstr("one seed"));
  EXPECT_FALSE(NonInferiorityP(one.difference(), 0.02).has_value());

  // 0.9 - 0.7 and 0.3 - 0.1 differ in the last bit: still the same.
  const v1::PairedResult same = TestEach({0.9 - 0.7, 0.3 - 0.1, 0.2});
  EXPECT_FALSE(same.has_t());
  EXPECT_FALSE(same.difference().has_ci_low());
  EXPECT_DOUBLE_EQ(same.p_wilcoxon(), 0.25);  // three of one sign: 2 / 2^3
  EXPECT_THAT(same.note(), HasSubstr("the same"));
  EXPECT_FALSE(NonInferiorityP(same.difference(), 0.02).has_value());

  const v1::PairedResult zero = TestEach({0, 0, 0});
  EXPECT_EQ(zero.difference().mean(), 0);
  EXPECT_FALSE(zero.has_w());
  EXPECT_THAT(zero.note(), HasSubstr("every difference is 0"));

  const v1::PairedResult with_nan =
      TestEach({0.1, kNan, 0.3, std::numeric_limits<double>::infinity()});
  EXPECT_EQ(with_nan.difference().n(), 2);
  EXPECT_EQ(with_nan.excluded(), 2);
  EXPECT_DOUBLE_EQ(with_nan.difference().mean(), 0.2);
  EXPECT_THAT(with_nan.note(), HasSubstr("2 left out"));
}

}  // namespace
}  // namespace qsweep
