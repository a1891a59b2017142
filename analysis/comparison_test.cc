#include "analysis/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qsweep {
namespace {

using ::testing::HasSubstr;

RunFacts Trained(int bits, int rank, int64_t seed, double top1) {
  RunFacts run;
  run.spec.mutable_model()->set_name("vit");
  run.spec.mutable_dataset()->set_name("cifar10");
  run.spec.mutable_training()->set_method("lora");
  run.spec.mutable_lora()->set_rank(rank);
  run.spec.mutable_lora()->set_alpha(2 * rank);
  run.spec.mutable_quantization()->set_bits(bits);
  run.spec.mutable_quantization()->set_quant_type("nf4");
  run.spec.mutable_quantization()->set_compute_dtype("bfloat16");
  run.spec.set_seed(seed);
  run.result.emplace().mutable_best()->set_top1(top1);
  return run;
}

std::vector<v1::Comparison> Compare(const std::vector<RunFacts>& runs, Pooling pooling) {
  return CompareWithUnquantized(runs, UnquantizedTwins(runs), pooling);
}

TEST(UnquantizedTwinsTest, DifferInTheQuantizationOnly) {
  std::vector<RunFacts> runs = {Trained(4, 8, 1, 0.8), Trained(0, 8, 2, 0.9), Trained(0, 8, 1, 0.9),
                                Trained(8, 16, 1, 0.9), Trained(4, 8, 2, 0.7)};
  runs[4].spec.mutable_quantization()->set_compute_dtype("float32");
  const auto twins = UnquantizedTwins(runs);
  EXPECT_EQ(twins[0], 2u);
  EXPECT_FALSE(twins[1].has_value());  // not quantized
  EXPECT_FALSE(twins[3].has_value());  // no baseline of that rank
  EXPECT_FALSE(twins[4].has_value());  // it computes in another type
}

TEST(CompareTest, PoolsOverAdaptersOrNot) {
  const std::vector<RunFacts> runs = {Trained(0, 4, 1, 0.90), Trained(0, 4, 2, 0.91),
                                      Trained(0, 8, 1, 0.92), Trained(0, 8, 2, 0.93),
                                      Trained(4, 4, 1, 0.89), Trained(4, 4, 2, 0.89),
                                      Trained(4, 8, 1, 0.91), Trained(4, 8, 2, 0.915)};
  const auto pooled = Compare(runs, Pooling::kOverAdapters);
  ASSERT_EQ(pooled.size(), 1u);
  EXPECT_EQ(pooled[0].result().difference().n(), 4);
  EXPECT_NEAR(pooled[0].result().difference().mean(), -0.01375, 1e-12);
  EXPECT_EQ(pooled[0].quantization(), "nf4");
  EXPECT_EQ(pooled[0].adapter(), "");
  EXPECT_EQ(pooled[0].non_inferiority(), "non-inferior");  // sd 0.005: well above -0.05
  EXPECT_DOUBLE_EQ(pooled[0].p_holm(), pooled[0].result().p_t());
  const auto apart = Compare(runs, Pooling::kByAdapter);
  ASSERT_EQ(apart.size(), 2u);
  EXPECT_EQ(apart[0].adapter(), "r4 α8");
  EXPECT_EQ(apart[1].result().difference().n(), 2);
  EXPECT_GE(apart[0].p_holm(), apart[0].result().p_t());
}

TEST(CompareTest, TheMarginIsTheStudys) {
  const auto judge = [](int bits, double a, double b, double c) {
    return Compare({Trained(0, 8, 1, 0.9), Trained(0, 8, 2, 0.9), Trained(0, 8, 3, 0.9),
                    Trained(bits, 8, 1, 0.9 + a), Trained(bits, 8, 2, 0.9 + b),
                    Trained(bits, 8, 3, 0.9 + c)},
                   Pooling::kByAdapter)[0]
        .non_inferiority();
  };
  EXPECT_EQ(judge(8, -0.010, -0.011, -0.012), "non-inferior");
  EXPECT_EQ(judge(8, -0.030, -0.031, -0.032), "inferior");
  EXPECT_EQ(judge(4, -0.030, -0.031, -0.032), "non-inferior");  // 5 points are allowed
  EXPECT_EQ(judge(8, -0.010, -0.030, -0.020), "undecided");
  EXPECT_EQ(judge(8, -0.010, -0.010, -0.010), "undecided");  // no variance, no interval
}

TEST(CompareTest, CellsWithoutAPairAreThere) {
  RunFacts failed = Trained(8, 8, 1, 0);
  failed.result.reset();
  const auto comparisons = Compare({Trained(0, 8, 1, 0.9), failed}, Pooling::kByAdapter);
  ASSERT_EQ(comparisons.size(), 1u);
  EXPECT_EQ(comparisons[0].quantization(), "int8");
  EXPECT_EQ(comparisons[0].result().difference().n(), 0);
  EXPECT_FALSE(comparisons[0].has_p_holm());
  EXPECT_EQ(comparisons[0].non_inferiority(), "");
  EXPECT_THAT(comparisons[0].result().note(), HasSubstr("no pair"));
}

}  // namespace
}  // namespace qsweep
