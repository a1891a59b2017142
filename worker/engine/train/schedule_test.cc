#include "worker/engine/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace qsweep::engine {
namespace {

v1::Training Training(const std::string& scheduler, int64_t warmup) {
  v1::Training training;
  training.set_learning_rate(0.5);
  training.set_lr_scheduler(scheduler);
  training.set_warmup_steps(warmup);
  return training;
}

TEST(LearningRateTest, RisesThroughWarmUpAndIsFullAtItsEnd) {
  for (const char* scheduler : {"cosine", "linear", "constant"}) {
    const v1::Training training = Training(scheduler, 4);
    EXPECT_DOUBLE_EQ(LearningRate(training, 0, 100), 0.125);
    EXPECT_DOUBLE_EQ(LearningRate(training, 3, 100), 0.5);
    EXPECT_DOUBLE_EQ(LearningRate(training, 4, 100), 0.5);
  }
}

TEST(LearningRateTest, FollowsItsFormulaAfterwards) {
  EXPECT_DOUBLE_EQ(LearningRate(Training("constant", 0), 99, 100), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(Training("linear", 20), 60, 100), 0.25);
  EXPECT_DOUBLE_EQ(LearningRate(Training("cosine", 20), 60, 100), 0.25);
  EXPECT_DOUBLE_EQ(LearningRate(Training("cosine", 0), 25, 100), 0.25 * (1 + std::sqrt(0.5)));
}

TEST(LearningRateTest, ReachesZeroOnlyAfterTheLastStep) {
  EXPECT_GT(LearningRate(Training("cosine", 0), 99, 100), 0);
  EXPECT_DOUBLE_EQ(LearningRate(Training("cosine", 0), 100, 100), 0);
  EXPECT_DOUBLE_EQ(LearningRate(Training("linear", 0), 100, 100), 0);
}

TEST(LearningRateTest, AWarmUpLongerThanTheRunIsCutShort) {
  EXPECT_DOUBLE_EQ(LearningRate(Training("cosine", 1000), 9, 10), 0.005);
}

}  // namespace
}  // namespace qsweep::engine
