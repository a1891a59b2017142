#include "analysis/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/proto_json.h"

namespace qsweep {
namespace {

RunFacts Finished(const std::string& quantization_json, int64_t seed, double top1,
                  int64_t bytes_after, int64_t peak_bytes) {
  RunFacts run;
  EXPECT_TRUE(FromJson(R"({"model": {"name": "vit"}, "dataset": {"name": "cifar10"},
                           "lora": {"rank": 8}, "training": {"method": "lora"}})",
                       &run.spec)
                  .ok());
  EXPECT_TRUE(FromJson(quantization_json, run.spec.mutable_quantization()).ok());
  run.spec.set_seed(seed);
  run.result.emplace().mutable_best()->set_top1(top1);
  run.result->mutable_quantization()->set_bytes_before(1000);
  run.result->mutable_quantization()->set_bytes_after(bytes_after);
  run.result->mutable_memory()->set_peak_bytes(peak_bytes);
  run.result->set_images_per_s(50);
  return run;
}

std::vector<v1::GroupSummary> Summaries(const std::vector<RunFacts>& runs) {
  std::vector<v1::GroupSummary> summaries;
  for (const Group& group : GroupBySeed(runs)) summaries.push_back(group.summary);
  return summaries;
}

constexpr char kNone[] = R"({"bits": 0})";
constexpr char kNf4[] = R"({"bits": 4, "quant_type": "nf4", "double_quant": true})";

TEST(GroupBySeedTest, SeedsAreOneGroupWithReductions) {
  const auto groups = Summaries({
      Finished(kNone, 1, 0.90, 1000, 800),
      Finished(kNf4, 1, 0.80, 250, 600),
      Finished(kNone, 2, 0.94, 1000, 800),
      Finished(kNf4, 2, 0.84, 250, 600),
  });
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].quantization(), "none");
  EXPECT_EQ(groups[0].top1().n(), 2);
  EXPECT_DOUBLE_EQ(groups[0].top1().mean(), 0.92);
  EXPECT_EQ(groups[0].weights_reduction(), 0);
  EXPECT_FALSE(groups[0].has_peak_reduction());
  EXPECT_EQ(groups[1].quantization(), "nf4+dq");
  EXPECT_EQ(groups[1].rank(), 8);
  EXPECT_DOUBLE_EQ(groups[1].weights_reduction(), 0.75);
  EXPECT_DOUBLE_EQ(groups[1].peak_reduction(), 0.25);
  EXPECT_EQ(groups[1].differs(), "");
  EXPECT_EQ(groups[1].label(), "nf4+dq");
}

TEST(GroupBySeedTest, RunsWithoutAResultAreCountedNotAveraged) {
  RunFacts failed = Finished(kNone, 2, 0, 0, 0), pending = Finished(kNf4, 1, 0, 0, 0);
  failed.result.reset();
  pending.result.reset();
  const auto groups = Summaries({Finished(kNone, 1, 0.9, 1000, 800), failed, pending});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].planned(), 2);
  EXPECT_EQ(groups[0].top1().n(), 1);
  EXPECT_DOUBLE_EQ(groups[0].top1().mean(), 0.9);
  EXPECT_FALSE(groups[0].top1().has_ci_low());
  EXPECT_EQ(groups[1].planned(), 1);
  EXPECT_EQ(groups[1].top1().n(), 0);
  EXPECT_FALSE(groups[1].has_peak_reduction());
}

TEST(GroupBySeedTest, WhatFollowsFromAColumnIsNoDifference) {
  RunFacts small = Finished(kNone, 1, 0.9, 1000, 800), large = small;
  small.spec.mutable_lora()->set_alpha(16);
  large.spec.mutable_lora()->set_rank(16);
  large.spec.mutable_lora()->set_alpha(32);
  const auto groups = Summaries({small, large});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].differs(), "");
  EXPECT_EQ(groups[0].label(), "r8 none");
  EXPECT_EQ(groups[1].label(), "r16 none");
}

TEST(GroupBySeedTest, MixturesTellWhatTheyAreMixedOf) {
  const auto groups = Summaries({
      Finished(R"({"bits": 8, "overrides": ["fc1=nf4"]})", 1, 0.9, 500, 800),
      Finished(R"({"bits": 4, "overrides": ["fc1=int8"]})", 1, 0.9, 500, 800),
      Finished(R"({"bits": 8, "int8_compute": "dynamic"})", 1, 0.9, 500, 800),
  });
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].label(), "mixed quantization.bits=8, quantization.overrides=[fc1=nf4]");
  EXPECT_EQ(groups[1].label(), "mixed quantization.bits=4, quantization.overrides=[fc1=int8]");
  EXPECT_THAT(groups[2].differs(), testing::Not(testing::HasSubstr("int8_compute")));
}

TEST(QuantizationNamesTest, TellApartWhatIsCalledTheSame) {
  const auto scope = [](const char* quantization) {
    return QuantizationScope(Finished(quantization, 1, 0.9, 500, 800).spec);
  };
  EXPECT_THAT(QuantizationNames(
                  {scope(kNone), scope(R"({"bits": 4, "quant_type": "nf4", "blocksize": 64})"),
                   scope(R"({"bits": 4, "quant_type": "nf4", "blocksize": 128})"),
                   scope(R"({"bits": 4, "overrides": ["qkv=int8", "blocks.0.mlp.fc1=none"]})"),
                   scope(R"({"bits": 4, "overrides": ["qkv=int8", "blocks.1.mlp.fc1=none"]})")}),
              testing::ElementsAre("none", "nf4 (blocksize=64)", "nf4 (blocksize=128)",
                                   "mixed (overrides=[qkv=int8, blocks.0.mlp.fc1=none])",
                                   "mixed (overrides=[qkv=int8, blocks.1.mlp.fc1=none])"));
}

TEST(GroupBySeedTest, OtherDifferencesAreNeverAveraged) {
  RunFacts slow = Finished(kNf4, 1, 0.80, 250, 600), fast = slow;
  slow.spec.mutable_training()->set_learning_rate(0.5);
  fast.spec.mutable_training()->set_learning_rate(0.25);
  fast.spec.mutable_dataset()->add_classes(3);
  fast.spec.mutable_dataset()->add_classes(4);
  const auto groups = Summaries({slow, fast});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].differs(), "dataset.classes=, training.learning_rate=0.5");
  EXPECT_EQ(groups[1].differs(), "dataset.classes=[3, 4], training.learning_rate=0.25");
  EXPECT_FALSE(groups[0].has_peak_reduction());  // no unquantized group to compare with
}

TEST(GroupBySeedTest, MethodsWithoutARankHaveNone) {
  RunFacts run = Finished(kNone, 1, 0.5, 1000, 800);
  run.spec.mutable_training()->set_method("full");
  EXPECT_EQ(Summaries(std::vector<RunFacts>{run})[0].rank(), 0);
  EXPECT_TRUE(Summaries(std::vector<RunFacts>()).empty());
}

}  // namespace
}  // namespace qsweep
