#include "worker/engine/train/gradient_stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "worker/engine/testing/distance.h"
#include "worker/engine/train/statistics.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

AdamW::Slot Slot(const std::string& name, const std::string& group, const at::Tensor& gradient,
                 const at::Tensor& value) {
  AdamW::Slot slot;
  slot.parameter.name = name;
  slot.parameter.group = group;
  slot.parameter.value = value;
  slot.gradient = gradient;
  slot.first_moment = at::zeros_like(gradient);
  return slot;
}

// An adapter and a head, with gradients of norms 3, 4 and 12.
std::vector<AdamW::Slot> Slots() {
  return {
      Slot("blocks.0.attn.qkv.lora_A.weight", "blocks.0", at::tensor({3.f, 0.f}), at::ones({2})),
      Slot("blocks.0.attn.qkv.lora_B.weight", "blocks.0", at::tensor({0.f, 4.f}), at::ones({2})),
      Slot("head.weight", "head", at::tensor({12.f}), at::ones({1}))};
}

std::map<std::string, double> Points(const v1::Metrics& metrics) {
  std::map<std::string, double> points;
  for (const v1::Point& point : metrics.points()) points[point.name()] = point.value();
  return points;
}

TEST(StatisticsTest, AgreesWithTheDefinitionsAlsoWhenMerged) {
  v1::RunningStatistics all, first, second;
  for (double value : {2., 4., 4., 4.}) Add(value, &all), Add(value, &first);
  for (double value : {5., 5., 7., 9.}) Add(value, &all), Add(value, &second);
  Merge(second, &first);
  for (const v1::RunningStatistics& s : {all, first}) {
    EXPECT_EQ(s.count(), 8);
    EXPECT_DOUBLE_EQ(s.mean(), 5);
    EXPECT_DOUBLE_EQ(StandardDeviation(s), std::sqrt(32. / 7));
    EXPECT_EQ(s.min(), 2);
    EXPECT_EQ(s.max(), 9);
  }
}

TEST(GradientStatsTest, NormsAreThoseOfTheDefinition) {
  EXPECT_DOUBLE_EQ(GlobalNorm(SquaredGradientNorms(Slots())), 13);
  at::manual_seed(1);
  const at::Tensor large = at::randn({12345});
  const std::vector<AdamW::Slot> slots = {Slot("w", "g", large, large)};
  const double expected = large.to(at::kDouble).square().sum().item<double>();
  // Float lanes of 64 squares err by √64 roundings, and the sum of some 190 by 14 times less.
  EXPECT_NEAR(SquaredGradientNorms(slots)[0], expected, expected * 2 * kUnitFp32);
}

TEST(GradientStatsTest, TellsEachWindowByGroup) {
  const std::vector<AdamW::Slot> slots = Slots();
  v1::GradientState state;
  GradientStats stats(slots, &state);
  stats.AddStep({9, 16, 144});
  stats.AddStep({0, 9, 144});
  v1::Metrics metrics;
  EXPECT_EQ(stats.EndWindow(&metrics), "");
  const auto points = Points(metrics);
  EXPECT_DOUBLE_EQ(points.at("gradient_norm/blocks.0/mean"), 4);
  EXPECT_DOUBLE_EQ(points.at("gradient_norm/blocks.0/std"), std::sqrt(2.));
  EXPECT_DOUBLE_EQ(points.at("gradient_norm/blocks.0/min"), 3);
  EXPECT_DOUBLE_EQ(points.at("gradient_norm/blocks.0/max"), 5);
  EXPECT_DOUBLE_EQ(points.at("gradient_norm/head/std"), 0);
}

TEST(GradientStatsTest, ContinuesFromItsState) {
  const std::vector<AdamW::Slot> slots = Slots();
  v1::GradientState whole_state, state;
  GradientStats whole(slots, &whole_state);
  for (double s : {1., 4., 9., 16.}) whole.AddStep({s, s, s});
  {
    GradientStats before(slots, &state);
    for (double s : {1., 4.}) before.AddStep({s, s, s});
  }
  v1::GradientState restored;
  ASSERT_TRUE(restored.ParseFromString(state.SerializeAsString()));
  GradientStats after(slots, &restored);
  for (double s : {9., 16.}) after.AddStep({s, s, s});
  EXPECT_EQ(restored.SerializeAsString(), whole_state.SerializeAsString());
}

TEST(GradientStatsTest, FlagsVanishingAndExplodingWindows) {
  const std::vector<AdamW::Slot> slots = Slots();
  v1::GradientState state;
  GradientStats stats(slots, &state);
  v1::Metrics metrics;
  const auto window = [&](double squared) {
    stats.AddStep({squared, 0, 0});
    return stats.EndWindow(&metrics);
  };
  EXPECT_EQ(window(1), "");
  EXPECT_EQ(window(81), "");
  EXPECT_EQ(window(1e6), "exploding");
  EXPECT_EQ(window(1e-16), "vanishing");
  EXPECT_EQ(stats.Summary().exploding_windows(), 1);
  EXPECT_EQ(stats.Summary().vanishing_windows(), 1);
  EXPECT_EQ(stats.Summary().norm_max(), 1000);
}

TEST(CheckGradientsTest, PassesWhatLearns) {
  std::vector<AdamW::Slot> slots = Slots();
  EXPECT_TRUE(CheckGradients(slots, {9, 16, 144}, 5).ok());
  // lora_B is still zero, so lora_A has no gradient yet.
  slots[1].parameter.value = at::zeros({2});
  slots[0].gradient.zero_();
  EXPECT_TRUE(CheckGradients(slots, {0, 16, 144}, 10).ok());
  // The loss is exactly zero, or all but.
  EXPECT_TRUE(CheckGradients(slots, {0, 0, 0}, 10).ok());
  slots = Slots();
  slots[0].gradient.zero_();
  EXPECT_TRUE(CheckGradients(slots, {0, 1e-30, 1e-26}, 10).ok());
  // Its squares underflow, it does not.
  slots[0].gradient = at::full_like(slots[0].gradient, 1e-30);
  EXPECT_TRUE(CheckGradients(slots, {0, 16, 144}, 10).ok());
}

// What reaches a layer in one step may all be dropped, and is not in others.
TEST(CheckGradientsTest, PassesWhatDropoutTookAGradientFrom) {
  std::vector<AdamW::Slot> slots = Slots();
  slots[1].gradient.zero_();
  EXPECT_TRUE(CheckGradients(slots, {9, 0, 144}, 9).ok());
  slots[1].first_moment = at::tensor({0.f, 1.f});
  EXPECT_TRUE(CheckGradients(slots, {9, 0, 144}, 100).ok());
}

TEST(CheckGradientsTest, NamesTheAdapterThatLearnsNothing) {
  std::vector<AdamW::Slot> slots = Slots();
  slots[0].gradient.zero_();
  const absl::Status a = CheckGradients(slots, {0, 16, 144}, 10);
  EXPECT_TRUE(absl::IsInvalidArgument(a));
  EXPECT_THAT(std::string(a.message()), HasSubstr("step 10"));
  EXPECT_THAT(std::string(a.message()), HasSubstr("blocks.0.attn.qkv.lora_A.weight"));
  slots = Slots();
  slots[1].gradient.zero_();
  const absl::Status b = CheckGradients(slots, {9, 0, 144}, 10);
  EXPECT_THAT(std::string(b.message()),
              HasSubstr("in 1 of 1 adapters, first blocks.0.attn.qkv.lora_B.weight"));
}

TEST(CheckGradientsTest, RefusesWhatIsNotFinite) {
  const absl::Status status =
      CheckGradients(Slots(), {9, std::numeric_limits<double>::quiet_NaN(), 144}, 5);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("lora_B"));
}

}  // namespace
}  // namespace qsweep::engine
