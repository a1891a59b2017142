#include "worker/engine/train/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "worker/engine/base/allocator.h"
#include "worker/engine/train/blame.h"

namespace qsweep::engine {
namespace {

at::Tensor Labels(std::vector<int64_t> labels) { return at::tensor(labels, at::kLong); }

// Logits of which class p is the largest.
at::Tensor Predicting(std::vector<int64_t> predictions, int64_t classes) {
  return at::one_hot(Labels(std::move(predictions)), classes).to(at::kFloat);
}

TEST(EvaluationCountsTest, MacroScoresAreThoseOfScikitLearn) {
  // precision_recall_fscore_support([0,0,1,1,2], [0,1,1,1,0], average="macro", zero_division=0)
  // is (7/18, 1/2, 13/30): class 2 is never predicted, class 3 occurs nowhere.
  EvaluationCounts counts(4);
  counts.Add(Predicting({0, 1, 1}, 4), Labels({0, 0, 1}));
  counts.Add(Predicting({1, 0}, 4), Labels({1, 2}));
  const v1::Evaluation result = counts.Result(3);
  EXPECT_EQ(result.epoch(), 3);
  EXPECT_EQ(result.images(), 5);
  EXPECT_DOUBLE_EQ(result.top1(), 0.6);
  EXPECT_DOUBLE_EQ(result.macro_precision(), 7. / 18);
  EXPECT_DOUBLE_EQ(result.macro_recall(), 0.5);
  EXPECT_DOUBLE_EQ(result.macro_f1(), 13. / 30);
  const std::vector<int64_t> confusion(result.confusion().begin(), result.confusion().end());
  EXPECT_EQ(confusion, (std::vector<int64_t>{1, 1, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(EvaluationCountsTest, TopFiveCountsTheFiveLargestLogits) {
  const at::Tensor logits = at::tensor({7.f, 6.f, 5.f, 4.f, 3.f, 2.f, 1.f}).repeat({7, 1});
  EvaluationCounts counts(7);
  counts.Add(logits, Labels({0, 1, 2, 3, 4, 5, 6}));
  EXPECT_DOUBLE_EQ(counts.Result(1).top1(), 1. / 7);
  EXPECT_DOUBLE_EQ(counts.Result(1).top5(), 5. / 7);
}

TEST(EvaluationCountsTest, EqualLogitsAreTakenInTheOrderOfTheClasses) {
  EvaluationCounts counts(7);
  counts.Add(at::zeros({7, 7}), Labels({0, 1, 2, 3, 4, 5, 6}));
  EXPECT_DOUBLE_EQ(counts.Result(1).top1(), 1. / 7);
  EXPECT_DOUBLE_EQ(counts.Result(1).top5(), 5. / 7);
  EXPECT_DOUBLE_EQ(counts.Result(1).loss(), std::log(7.));
}

TEST(EvaluationCountsTest, LossIsTheMeanCrossEntropyAlsoOfLargeLogits) {
  at::manual_seed(1);
  const at::Tensor logits = 300 * at::randn({9, 4}), labels = at::randint(4, {9}, at::kLong);
  EvaluationCounts counts(4);
  counts.Add(logits, labels);
  const double expected = at::cross_entropy_loss(logits.to(at::kDouble), labels).item<double>();
  EXPECT_NEAR(counts.Result(1).loss(), expected, 5e-13);  // some roundings of 300 in float64
}

TEST(ForBatchesTest, RunningOutOfMemoryHalvesTheBatchAndLosesNoImage) {
  std::vector<int64_t> seen;
  int64_t batch = 12;
  const auto work = [&seen](int64_t begin, int64_t end) {
    if (end - begin > 3) throw OutOfMemory(8, 0, 7);
    for (int64_t i = begin; i < end; ++i) seen.push_back(i);
  };
  EXPECT_TRUE(ForBatches(
                  10, &batch, [] { return false; }, work)
                  .ok());
  EXPECT_EQ(seen, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(batch, 3);
}

TEST(ForBatchesTest, ASingleImageThatDoesNotFitIsTheResourcesFault) {
  int64_t batch = 4;
  const absl::Status status = ForBatches(
      9, &batch, [] { return false; }, [](int64_t, int64_t) { throw OutOfMemory(8, 0, 7); });
  EXPECT_EQ(BlameOf(status), v1::BLAME_RESOURCES);
  EXPECT_EQ(batch, 1);
}

}  // namespace
}  // namespace qsweep::engine
