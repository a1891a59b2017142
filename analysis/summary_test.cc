#include "analysis/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "analysis/comparison.h"
#include "analysis/details.h"
#include "analysis/expectations.h"
#include "analysis/pareto.h"
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
  EXPECT_FALSE(groups[1].top1().has_mean());
  EXPECT_FALSE(groups[1].has_weights_bytes());
  EXPECT_FALSE(groups[1].has_weights_reduction());
  EXPECT_FALSE(groups[1].has_peak_bytes());
  EXPECT_FALSE(groups[1].has_images_per_s());
  EXPECT_FALSE(groups[1].has_trainable_parameters());
}

// With 2 threads and a micro-batch of 8 a run needs more than with 1 and 4, quantized or not.
TEST(GroupBySeedTest, PeaksAreComparedOnlyWhereTheyWereComputedAlike) {
  std::vector<RunFacts> runs = {Finished(kNone, 1, 0.9, 1000, 800),
                                Finished(kNf4, 1, 0.8, 250, 480)};
  runs[0].result->mutable_memory()->set_micro_batch(8);
  runs[0].result->mutable_provenance()->set_threads(2);
  runs[1].result->mutable_memory()->set_micro_batch(4);
  runs[1].result->mutable_provenance()->set_threads(1);
  const std::vector<Group> groups = GroupBySeed(runs);
  EXPECT_FALSE(groups[1].summary.has_peak_reduction());
  EXPECT_THAT(groups[1].summary.note(), testing::HasSubstr("micro-batch 4"));
  const auto effects = QuantizationEffects(runs, UnquantizedTwins(runs));
  EXPECT_TRUE(effects[0].has_top1_difference());
  EXPECT_FALSE(effects[0].has_peak_reduction());
  EXPECT_FALSE(effects[0].has_images_per_s_ratio());
  EXPECT_THAT(effects[0].note(), testing::HasSubstr("peak and speed not compared"));
  EXPECT_EQ(ParetoFronts(runs, groups, MemoryKind::kWeights).size(), 1u);
  EXPECT_EQ(ParetoFronts(runs, groups, MemoryKind::kPeak).size(), 2u);
  int peaks = 0;
  for (const v1::Expectation& e : JudgeExpectations(runs, UnquantizedTwins(runs), groups)) {
    if (e.claim().find("peak") == std::string::npos) continue;
    ++peaks;
    EXPECT_EQ(e.verdict(), "no data");
    EXPECT_THAT(e.reason(), testing::HasSubstr("micro-batch 4"));
  }
  EXPECT_EQ(peaks, 1);
  // A seed that was computed as its twin gives the ratio.
  runs.push_back(Finished(kNf4, 2, 0.8, 250, 600));
  *runs[2].result->mutable_provenance() = runs[0].result->provenance();
  runs[2].result->mutable_memory()->set_micro_batch(8);
  EXPECT_DOUBLE_EQ(Summaries(runs)[1].peak_reduction(), 0.25);
}

TEST(GroupBySeedTest, UnquantizedRunsThatComputeInTwoTypesHaveTwoLabels) {
  const auto groups = Summaries({
      Finished(R"({"bits": 0, "compute_dtype": "float32"})", 1, 0.9, 1000, 800),
      Finished(R"({"bits": 0, "compute_dtype": "bfloat16"})", 1, 0.8, 1000, 800),
  });
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].label(), "none quantization.compute_dtype=float32");
  EXPECT_EQ(groups[1].label(), "none quantization.compute_dtype=bfloat16");
}

// Eight ranks, each a little larger and better than the one before: none beats another.
TEST(ParetoTest, OnlyWhatIsBeatenIsDominated) {
  std::vector<RunFacts> runs;
  double peak = 500e6;
  for (int rank = 1; rank <= 8; ++rank) {
    runs.push_back(Finished(kNf4, 1, 0.8 + 0.01 * rank, 250, static_cast<int64_t>(peak)));
    runs.back().spec.mutable_lora()->set_rank(rank);
    peak *= 1.0095;
  }
  const auto fronts = ParetoFronts(runs, GroupBySeed(runs), MemoryKind::kPeak);
  ASSERT_EQ(fronts.size(), 1u);
  for (const v1::ParetoPoint& point : fronts[0].points()) {
    EXPECT_EQ(point.dominated_by_size(), 0) << point.group();
    EXPECT_EQ(point.group_index() + 1, static_cast<int>(std::round(100 * point.top1() - 80)));
  }
}

TEST(ParetoTest, AFoldersClassesAreThoseOfTheResultOrUnknown) {
  RunFacts run = Finished(kNf4, 1, 0.8, 250, 800);
  run.spec.mutable_dataset()->set_name("imagefolder");
  run.spec.mutable_dataset()->set_path("a_b&c%d");
  const auto front = [&run] {
    return ParetoFronts({run}, GroupBySeed({run}), MemoryKind::kWeights)[0];
  };
  EXPECT_EQ(front().dataset(), "imagefolder a_b&c%d");
  EXPECT_FALSE(front().has_reference_top1());
  EXPECT_FALSE(front().has_hypervolume());
  run.classes = 4;
  EXPECT_DOUBLE_EQ(front().reference_top1(), 0.25);
  EXPECT_TRUE(front().has_hypervolume());
}

TEST(EffectsTest, KeepApartWhatComparisonsDoAndSayOfHowManyRuns) {
  std::vector<RunFacts> runs = {
      Finished(kNone, 1, 0.9, 1000, 800), Finished(kNf4, 1, 0.8, 250, 600),
      Finished(kNone, 1, 0.6, 1000, 800), Finished(kNf4, 1, 0.4, 250, 600)};
  for (size_t i = 2; i < 4; ++i) runs[i].spec.mutable_training()->set_method("linear_probe");
  const auto effects = QuantizationEffects(runs, UnquantizedTwins(runs));
  ASSERT_EQ(effects.size(), 2u);
  EXPECT_EQ(effects[0].differs(), "training.method=lora");
  EXPECT_DOUBLE_EQ(effects[0].twin_top1(), 0.9);
  EXPECT_EQ(effects[0].pairs(), 1);
  EXPECT_EQ(effects[1].method(), "linear_probe");
  EXPECT_DOUBLE_EQ(effects[1].twin_top1(), 0.6);
  for (const v1::Expectation& e :
       JudgeExpectations(runs, UnquantizedTwins(runs), GroupBySeed(runs))) {
    EXPECT_THAT(e.scope(), testing::HasSubstr("(method=")) << e.claim();
    if (e.unit() != "points") continue;
    EXPECT_EQ(e.n(), 1) << e.claim();
    EXPECT_EQ(e.pairs(), 1) << e.claim();
  }
}

TEST(SensitivityTest, TasksAndLabelsAreNeverAveraged) {
  std::vector<RunFacts> runs;
  for (const char* dataset : {"cifar10", "cifar100"}) {
    for (const char* labels : {"dataset", "model"}) {
      RunFacts& run = runs.emplace_back(Finished(kNf4, 1, 0.8, 250, 600));
      run.spec.mutable_dataset()->set_name(dataset);
      run.spec.mutable_training()->set_method("sensitivity");
      run.result->mutable_sensitivity()->set_labels(labels);
      v1::LayerMeasurement& layer = *run.result->mutable_sensitivity()->add_layers();
      layer.set_layer("blocks.0.mlp.fc1");
      layer.set_quant_type("nf4");
      layer.set_relative_mse(0.01);
      layer.set_loss_change(static_cast<double>(runs.size()));
    }
  }
  const auto layers = LayerSensitivities(runs);
  ASSERT_EQ(layers.size(), 4u);
  EXPECT_EQ(layers[1].labels(), "model");
  EXPECT_EQ(layers[1].loss_change(), 2);
  EXPECT_EQ(layers[2].dataset(), "cifar100");
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

TEST(GroupBySeedTest, WhatMeansNothingToAGroupIsNotSaidOfIt) {
  const auto groups = Summaries(
      {Finished(kNone, 1, 0.9, 500, 800),
       Finished(R"({"bits": 8, "blocksize": 64})", 1, 0.9, 500, 800),
       Finished(R"({"bits": 4, "quant_type": "nf4", "blocksize": 64})", 1, 0.9, 500, 800),
       Finished(R"({"bits": 4, "quant_type": "nf4", "blocksize": 128})", 1, 0.9, 500, 800)});
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_EQ(groups[0].label(), "none");
  EXPECT_EQ(groups[1].label(), "int8");
  EXPECT_EQ(groups[2].label(), "nf4 quantization.blocksize=64");
  EXPECT_EQ(groups[3].label(), "nf4 quantization.blocksize=128");
}

TEST(QuantizationNamesTest, TellApartWhatIsCalledTheSame) {
  const auto scope = [](const char* quantization) {
    return PairScope(Finished(quantization, 1, 0.9, 500, 800).spec, Pooling::kOverAdapters);
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
