#include "worker/engine/train/micro_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/base/allocator.h"
#include "worker/engine/train/blame.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

v1::ExperimentSpec Spec(int32_t batch, const std::string& checkpointing) {
  v1::ExperimentSpec spec;
  spec.mutable_dataset()->set_batch_size(batch);
  spec.mutable_training()->set_gradient_checkpointing(checkpointing);
  return spec;
}

// 100 bytes whatever the batch, and 40, 20 or 10 for each image.
int64_t Peak(int64_t micro_batch, Checkpointing checkpointing) {
  const int64_t per_image[] = {40, 20, 10};
  return 100 + micro_batch * per_image[static_cast<int>(checkpointing)];
}

v1::StepPlan Plan(const v1::ExperimentSpec& spec, const StepShape& shape, int64_t limit) {
  const auto plan =
      PlanStep(spec, shape, limit, [limit](int64_t micro_batch, Checkpointing checkpointing) {
        const int64_t peak = Peak(micro_batch, checkpointing);
        if (peak > limit) throw OutOfMemory(peak, 0, limit);
        return peak;
      });
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(v1::StepPlan());
}

constexpr StepShape kOneLane = {1, 32};
constexpr StepShape kFourLanes = {4, 3};

TEST(PlanStepTest, WithoutALimitNothingIsProbedOrRecomputed) {
  const auto probe = [](int64_t, Checkpointing) -> int64_t {
    ADD_FAILURE() << "probed";
    return 0;
  };
  const auto plan = PlanStep(Spec(100, "auto"), kOneLane, 0, probe);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->micro_batch(), 25);  // 4 passes of at most 32
  EXPECT_EQ(plan->gradient_checkpointing(), "none");
  EXPECT_EQ(plan->predicted_peak_bytes(), 0);
  EXPECT_EQ(Plan(Spec(8, "full"), kOneLane, 0).gradient_checkpointing(), "full");
  EXPECT_EQ(Plan(Spec(100, "auto"), kFourLanes, 0).micro_batch(), 12);
  EXPECT_EQ(Plan(Spec(32, "auto"), kFourLanes, 0).micro_batch(), 12);  // 8 each, as 3, 3, 2
  EXPECT_EQ(Plan(Spec(16, "auto"), kFourLanes, 0).micro_batch(), 8);   // 4 each, as 2, 2
  EXPECT_EQ(Plan(Spec(3, "auto"), kFourLanes, 0).micro_batch(), 3);    // a single lane
}

TEST(PlanStepTest, TakesTheWholeBatchWhereItFitsExactly) {
  const v1::StepPlan plan = Plan(Spec(32, "auto"), kOneLane, Peak(32, Checkpointing::kNone));
  EXPECT_EQ(plan.micro_batch(), 32);
  EXPECT_EQ(plan.gradient_checkpointing(), "none");
  EXPECT_EQ(plan.predicted_peak_bytes(), Peak(32, Checkpointing::kNone));
  const v1::StepPlan half = Plan(Spec(32, "auto"), kOneLane, Peak(32, Checkpointing::kNone) - 1);
  EXPECT_EQ(half.micro_batch(), 16);
  EXPECT_EQ(half.predicted_peak_bytes(), Peak(16, Checkpointing::kNone));
}

// As passes of a real model are: small ones cost more for each image, and too large ones throw.
TEST(PlanStepTest, FindsTheLargestWhateverTheSlope) {
  for (const int64_t fitting : {1, 3, 8, 13, 31, 32}) {
    int probes = 0;
    const auto plan = PlanStep(Spec(1000, "none"), kOneLane, 1000, [&](int64_t n, Checkpointing) {
      ++probes;
      if (n > fitting) throw OutOfMemory(2000, 0, 1000);
      return n < 4 ? 990 : 100 + n;
    });
    ASSERT_TRUE(plan.ok());
    const int64_t passes = (1000 + fitting - 1) / fitting;
    EXPECT_EQ(plan->micro_batch(), (1000 + passes - 1) / passes);
    EXPECT_LE(probes, 8);
    EXPECT_LE(plan->predicted_peak_bytes(), 1000);
    EXPECT_GT(plan->predicted_peak_bytes(), 100);
  }
}

TEST(PlanStepTest, RecomputesOnlyWhenFewImagesFit) {
  EXPECT_EQ(
      Plan(Spec(32, "auto"), kOneLane, Peak(8, Checkpointing::kNone)).gradient_checkpointing(),
      "none");
  const v1::StepPlan selective =
      Plan(Spec(32, "auto"), kOneLane, Peak(8, Checkpointing::kSelective));
  EXPECT_EQ(selective.gradient_checkpointing(), "selective");
  EXPECT_EQ(selective.micro_batch(), 8);
  const v1::StepPlan full = Plan(Spec(32, "auto"), kOneLane, Peak(3, Checkpointing::kFull));
  EXPECT_EQ(full.gradient_checkpointing(), "full");
  EXPECT_EQ(full.micro_batch(), 3);
}

TEST(PlanStepTest, LanesHaveOneNumberOfImages) {
  const v1::StepPlan two = Plan(Spec(32, "auto"), kFourLanes, Peak(11, Checkpointing::kNone));
  EXPECT_EQ(two.micro_batch(), 8);
  EXPECT_EQ(two.gradient_checkpointing(), "none");
  // Rather an image a lane than none recomputed; rather fewer lanes than too much memory.
  const v1::StepPlan one = Plan(Spec(32, "auto"), kFourLanes, Peak(4, Checkpointing::kSelective));
  EXPECT_EQ(one.micro_batch(), 4);
  EXPECT_EQ(one.gradient_checkpointing(), "selective");
  EXPECT_EQ(Plan(Spec(32, "none"), kFourLanes, Peak(3, Checkpointing::kNone)).micro_batch(), 3);
}

TEST(PlanStepTest, KeepsWhatWasAskedFor) {
  const v1::StepPlan plan = Plan(Spec(32, "none"), kOneLane, Peak(1, Checkpointing::kNone));
  EXPECT_EQ(plan.micro_batch(), 1);
  EXPECT_EQ(plan.gradient_checkpointing(), "none");
}

TEST(PlanStepTest, BlamesTheResourcesWhenNoImageFits) {
  const auto plan = PlanStep(Spec(32, "none"), kOneLane, 50, [](int64_t, Checkpointing) -> int64_t {
    throw OutOfMemory(100, 0, 50);
  });
  EXPECT_EQ(BlameOf(plan.status()), v1::BLAME_RESOURCES);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("gradient_checkpointing: auto"));
}

}  // namespace
}  // namespace qsweep::engine
