#include "worker/engine/train/convergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace qsweep::engine {
namespace {

v1::EpochConvergence Of(const std::vector<double>& losses, const std::vector<double>& top1s) {
  google::protobuf::RepeatedPtrField<v1::EpochFacts> history;
  for (size_t i = 0; i < losses.size(); ++i) {
    v1::EpochFacts& epoch = *history.Add();
    epoch.set_loss(losses[i]);
    epoch.set_top1(top1s[i]);
  }
  return ConvergenceOf(history);
}

TEST(Convergence, OneWay) {
  const v1::EpochConvergence c = Of({1.0, 0.8, 0.7, 0.65}, {0.5, 0.7, 0.795, 0.8});
  EXPECT_EQ(c.epochs_to_1_percent(), 3);  // 0.795 >= 0.792
  EXPECT_EQ(c.early_stopping_epoch(), 4);
  EXPECT_NEAR(c.oscillation(), 0, 1e-15);  // some roundings of numbers of about 1, here and below
  // Smoothed: 1, 0.94, 0.868, 0.8026; least squares over x = -1.5 .. 1.5.
  EXPECT_NEAR(c.loss_slope(),
              (-1.5 * 1 - 0.5 * 0.94 + 0.5 * 0.868 + 1.5 * 0.8026) / (2 * 2.25 + 2 * 0.25), 1e-15);
}

TEST(Convergence, ToAndFro) {
  const v1::EpochConvergence c = Of({1.0, 0.5, 1.0, 0.5, 1.0}, {0.8, 0.6, 0.8, 0.6, 0.8});
  EXPECT_EQ(c.epochs_to_1_percent(), 1);
  EXPECT_EQ(c.early_stopping_epoch(), 2);
  EXPECT_DOUBLE_EQ(c.oscillation(), 1);
}

TEST(Convergence, OnlyTheLastFiveEpochsHaveASlope) {
  // A fall long ago, then the smoothed loss follows the constant one down ever more slowly: by 0.7
  // of what is left an epoch.
  std::vector<double> losses(40, 1.0);
  losses[0] = 100;
  double products = 0;
  for (int x = -2; x <= 2; ++x) products += x * 99 * std::pow(0.7, 37 + x);
  EXPECT_NEAR(Of(losses, losses).loss_slope(), products / 10, 1e-15);
}

TEST(Convergence, OneEpochOrNone) {
  EXPECT_EQ(Of({}, {}).epochs_to_1_percent(), 0);
  const v1::EpochConvergence c = Of({0.7}, {0.4});
  EXPECT_EQ(c.epochs_to_1_percent(), 1);
  EXPECT_EQ(c.early_stopping_epoch(), 1);
  EXPECT_EQ(c.loss_slope(), 0);
  EXPECT_EQ(c.oscillation(), 0);
}

}  // namespace
}  // namespace qsweep::engine
