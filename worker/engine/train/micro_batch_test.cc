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

v1::StepPlan Plan(const v1::ExperimentSpec& spec, int64_t limit) {
  const auto plan =
      PlanStep(spec, limit, [limit](int64_t micro_batch, Checkpointing checkpointing) {
        const int64_t peak = Peak(micro_batch, checkpointing);
        if (peak > limit) throw OutOfMemory(peak, 0, limit);
        return peak;
      });
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(v1::StepPlan());
}

TEST(PlanStepTest, WithoutALimitNothingIsProbedOrRecomputed) {
  const auto plan = PlanStep(Spec(100, "auto"), 0, [](int64_t, Checkpointing) -> int64_t {
    ADD_FAILURE() << "probed";
    return 0;
  });
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->micro_batch(), 25);  // 4 steps of at most 32
  EXPECT_EQ(plan->gradient_checkpointing(), "none");
  EXPECT_EQ(Plan(Spec(8, "full"), 0).gradient_checkpointing(), "full");
}

TEST(PlanStepTest, TakesTheWholeBatchWhereItFitsExactly) {
  const v1::StepPlan plan = Plan(Spec(32, "auto"), Peak(32, Checkpointing::kNone));
  EXPECT_EQ(plan.micro_batch(), 32);
  EXPECT_EQ(plan.gradient_checkpointing(), "none");
  EXPECT_EQ(Plan(Spec(32, "auto"), Peak(32, Checkpointing::kNone) - 1).micro_batch(), 16);
}

TEST(PlanStepTest, RecomputesOnlyWhenFewImagesFit) {
  EXPECT_EQ(Plan(Spec(32, "auto"), Peak(8, Checkpointing::kNone)).gradient_checkpointing(), "none");
  const v1::StepPlan selective = Plan(Spec(32, "auto"), Peak(8, Checkpointing::kSelective));
  EXPECT_EQ(selective.gradient_checkpointing(), "selective");
  EXPECT_EQ(selective.micro_batch(), 8);
  const v1::StepPlan full = Plan(Spec(32, "auto"), Peak(3, Checkpointing::kFull));
  EXPECT_EQ(full.gradient_checkpointing(), "full");
  EXPECT_EQ(full.micro_batch(), 3);
}

TEST(PlanStepTest, KeepsWhatWasAskedFor) {
  const v1::StepPlan plan = Plan(Spec(32, "none"), Peak(1, Checkpointing::kNone));
  EXPECT_EQ(plan.micro_batch(), 1);
  EXPECT_EQ(plan.gradient_checkpointing(), "none");
}

TEST(PlanStepTest, BlamesTheResourcesWhenNoImageFits) {
  const auto plan = PlanStep(Spec(32, "none"), 50, [](int64_t, Checkpointing) -> int64_t {
    throw OutOfMemory(100, 0, 50);
  });
  EXPECT_EQ(BlameOf(plan.status()), v1::BLAME_RESOURCES);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("gradient_checkpointing: auto"));
}

}  // namespace
}  // namespace qsweep::engine
