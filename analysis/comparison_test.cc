#include "analysis/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/compare_by.h"

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
  EXPECT_EQ(pooled[0].result().difference().n(), 2);  // seeds
  EXPECT_EQ(pooled[0].result().pairs(), 4);
  EXPECT_NEAR(pooled[0].result().difference().mean(), -0.01375, 1e-12);
  EXPECT_EQ(pooled[0].quantization(), "nf4");
  EXPECT_EQ(pooled[0].adapter(), "");
  EXPECT_EQ(pooled[0].non_inferiority(), "undecided");  // -0.010, -0.0175: an interval of two
  EXPECT_DOUBLE_EQ(pooled[0].p_holm(), pooled[0].result().p_t());
  const auto apart = Compare(runs, Pooling::kByAdapter);
  ASSERT_EQ(apart.size(), 2u);
  EXPECT_EQ(apart[0].adapter(), "r4 α8");
  EXPECT_EQ(apart[1].result().difference().n(), 2);
  EXPECT_GE(apart[0].p_holm(), apart[0].result().p_t());
}

// Three ranks of one seed share its data order: three seeds are three differences, not nine.
TEST(CompareTest, ASeedsRanksAreNoIndependentPairs) {
  std::vector<RunFacts> runs;
  for (const int rank : {4, 8, 16}) {
    for (const int64_t seed : {1, 2, 3}) {
      runs.push_back(Trained(0, rank, seed, 0.9));
      runs.push_back(Trained(4, rank, seed, 0.9 - 0.01 * static_cast<double>(seed - 2)));
    }
  }
  const v1::PairedResult result = Compare(runs, Pooling::kOverAdapters)[0].result();
  EXPECT_EQ(result.pairs(), 9);
  EXPECT_EQ(result.difference().n(), 3);
  EXPECT_NEAR(result.difference().sd(), 0.01, 1e-12);
}

TEST(CompareTest, MethodsAreKeptApartAndNamed) {
  std::vector<RunFacts> runs = {Trained(0, 8, 1, 0.9), Trained(4, 8, 1, 0.8), Trained(0, 8, 1, 0.7),
                                Trained(4, 8, 1, 0.5)};
  for (size_t i = 2; i < 4; ++i) runs[i].spec.mutable_training()->set_method("linear_probe");
  const auto comparisons = Compare(runs, Pooling::kOverAdapters);
  ASSERT_EQ(comparisons.size(), 2u);
  EXPECT_EQ(comparisons[0].differs(), "training.method=lora");
  EXPECT_EQ(comparisons[1].differs(), "training.method=linear_probe");
}

TEST(CompareByTest, AFieldOfQuantizationFreesNoOther) {
  std::vector<RunFacts> runs;
  const auto add = [&runs](int bits, bool double_quant, const char* dtype, double top1) {
    runs.push_back(Trained(bits, 8, 1, top1));
    v1::Quantization& quantization = *runs.back().spec.mutable_quantization();
    quantization.set_double_quant(double_quant);
    quantization.set_compute_dtype(dtype);
  };
  add(0, false, "bfloat16", 0.90);
  add(8, false, "bfloat16", 0.89);
  add(4, false, "bfloat16", 0.80);
  add(4, true, "bfloat16", 0.83);
  add(0, false, "float32", 0.92);
  add(4, false, "float32", 0.84);
  const auto by_double = CompareBy(runs, "quantization.double_quant");
  ASSERT_TRUE(by_double.ok());
  EXPECT_NEAR(by_double->values(1).against_first().difference().mean(), 0.03, 1e-12);
  EXPECT_NEAR(by_double->values(0).top1().mean(), 0.80, 1e-12);  // its partner, and no other
  EXPECT_EQ(by_double->values(0).runs(), 1);
  EXPECT_EQ(by_double->values(0).planned(), 5);
  const auto by_dtype = CompareBy(runs, "quantization.compute_dtype");
  ASSERT_TRUE(by_dtype.ok());
  EXPECT_EQ(by_dtype->values(1).against_first().pairs(), 2);  // 0 with 0 bits, 4 with 4
  EXPECT_NEAR(by_dtype->values(1).against_first().difference().mean(), 0.03, 1e-12);
  const auto by_bits = CompareBy(runs, "quantization.bits");
  ASSERT_TRUE(by_bits.ok());
  EXPECT_EQ(by_bits->values(2).against_first().pairs(), 2);  // of two kinds of 4 bits the mean
}

TEST(CompareByTest, AFieldWithoutItsSectionIsFound) {
  const auto message = [](const char* path) {
    return std::string(CompareBy({}, path).status().message());
  };
  EXPECT_THAT(message("rank"), HasSubstr("did you mean lora.rank?"));
  EXPECT_THAT(message("quantisation"), HasSubstr("did you mean quantization?"));
  EXPECT_THAT(message("colour"), HasSubstr("`qctl keys` lists them"));
}

TEST(CompareByTest, MeansAreOfPairsAndTestsOverSeeds) {
  std::vector<RunFacts> runs;
  for (const int64_t seed : {1, 2}) {
    for (const int rank : {4, 8}) {
      runs.push_back(Trained(0, rank, seed, 0.9));
      runs.push_back(Trained(4, rank, seed, rank == 4 ? 0.8 : 0.7));
    }
  }
  runs.push_back(Trained(0, 16, 1, 0.1));  // without a partner
  const auto comparison = CompareBy(runs, "quantization");
  ASSERT_TRUE(comparison.ok());
  EXPECT_NEAR(comparison->values(0).top1().mean(), 0.9, 1e-12);
  EXPECT_EQ(comparison->values(0).runs(), 4);
  EXPECT_EQ(comparison->values(1).top1().n(), 2);
  EXPECT_EQ(comparison->values(1).against_first().difference().n(), 2);
  EXPECT_EQ(comparison->values(1).against_first().pairs(), 4);
  const auto seeds = CompareBy(runs, "seed");
  ASSERT_TRUE(seeds.ok());
  const v1::PairedResult& second = seeds->values(1).against_first();
  EXPECT_EQ(second.pairs(), 4);
  EXPECT_EQ(second.difference().n(), 1);  // one seed, whatever the number of pairs
  EXPECT_FALSE(second.has_p_t());
}

TEST(CompareByTest, ItIsSaidThatPeaksWereMeasuredInDifferentWays) {
  std::vector<RunFacts> runs = {Trained(0, 8, 1, 0.9), Trained(4, 8, 1, 0.8)};
  EXPECT_EQ(CompareBy(runs, "quantization")->note(), "");
  runs[1].result->mutable_memory()->set_micro_batch(4);
  EXPECT_THAT(CompareBy(runs, "quantization")->note(), HasSubstr("not comparable"));
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
