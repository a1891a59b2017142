#include "worker/engine/data/mix.h"

#include <gtest/gtest.h>

#include <cmath>

namespace qsweep::engine {
namespace {

constexpr int64_t kSize = 101, kSide = 16;

v1::Dataset Spec(const std::vector<std::string>& augmentation, double alpha = 1) {
  v1::Dataset spec;
  spec.mutable_augmentation()->Add(augmentation.begin(), augmentation.end());
  spec.set_mixup_alpha(alpha);
  spec.set_cutmix_alpha(alpha);
  return spec;
}

// Image i is all i, and so is its label.
Batch Numbered() {
  Batch batch{at::arange(kSize).to(at::kFloat).view({-1, 1, 1, 1}).expand({-1, 3, kSide, kSide}),
              at::arange(kSize).to(at::kLong)};
  batch.images = batch.images.contiguous();
  return batch;
}

std::vector<int64_t> Indices(int64_t first) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < kSize; ++i) indices.push_back(first + i);
  return indices;
}

Batch Mixed(const v1::Dataset& spec, int64_t epoch = 1, int64_t first = 0) {
  Batch batch = Numbered();
  MixBatch(spec, 42, epoch, Indices(first), kSize, &batch);
  return batch;
}

// Every pixel's mean over the image is what the targets say, for images that are their labels.
void ExpectTargetsTellTheMixture(const Batch& batch) {
  const at::Tensor targets = batch.targets.to(at::kDouble);
  EXPECT_LE((targets.sum(1) - 1).abs().max().item<double>(), 0x1p-24);  // a share's rounding
  const at::Tensor told = at::matmul(targets, at::arange(kSize).to(at::kDouble));
  const at::Tensor means = batch.images.to(at::kDouble).mean({1, 2, 3});
  // Five roundings of numbers below 128: of shares, of either part and of the sum.
  EXPECT_LE((told - means).abs().max().item<double>(), 5 * 0x1p-18);
}

TEST(MixBatch, MixupBlendsImagesAndLabels) {
  const Batch batch = Mixed(Spec({"mixup"}, 0.8));
  ExpectTargetsTellTheMixture(batch);
  EXPECT_TRUE(batch.images.amax({1, 2, 3}).equal(batch.images.amin({1, 2, 3})));  // not boxes
  EXPECT_FLOAT_EQ(batch.targets[50][50].item<float>(), 1);  // the middle one with itself
}

TEST(MixBatch, CutmixPastesABoxAndCountsItsPixels) {
  const Batch batch = Mixed(Spec({"cutmix"}));
  ExpectTargetsTellTheMixture(batch);
  for (int64_t i = 0; i < kSize; ++i) {
    const at::Tensor other = batch.images[i] != static_cast<double>(i);
    EXPECT_TRUE((batch.images[i].masked_select(other) == static_cast<double>(kSize - 1 - i))
                    .all()
                    .item<bool>());
  }
}

TEST(MixBatch, WithBothACoinDecides) {
  const Batch batch = Mixed(Spec({"mixup", "cutmix"}));
  ExpectTargetsTellTheMixture(batch);
  const int64_t pasted =
      (batch.images.amax({1, 2, 3}) != batch.images.amin({1, 2, 3})).sum().item<int64_t>();
  EXPECT_GT(pasted, kSize / 4);
  EXPECT_LT(pasted, 3 * kSize / 4);
}

TEST(MixBatch, SharesHaveTheBetaDistribution) {
  for (const double alpha : {0.2, 0.8, 4.0}) {
    double sum = 0, squares = 0;
    int64_t n = 0;
    for (int64_t epoch = 1; epoch <= 40; ++epoch) {
      const Batch batch = Mixed(Spec({"mixup"}, alpha), epoch);
      for (int64_t i = 0; i < kSize; ++i) {
        if (i == kSize / 2) continue;
        const double share = batch.targets[i][i].item<float>();
        sum += share, squares += share * share, ++n;
      }
    }
    const double draws = static_cast<double>(n);
    const double mean = sum / draws, variance = squares / draws - mean * mean;
    // Of Beta(alpha, alpha); and three standard errors, of draws that are the same in every run.
    const double expected = 1 / (4 * (2 * alpha + 1)), kurtosis = 3 - 6 / (2 * alpha + 3);
    EXPECT_NEAR(mean, 0.5, 3 * std::sqrt(expected / draws)) << alpha;
    EXPECT_NEAR(variance, expected, 3 * expected * std::sqrt((kurtosis - 1) / draws)) << alpha;
  }
}

TEST(MixBatch, DependsOnSeedEpochAndImageAlone) {
  EXPECT_TRUE(Mixed(Spec({"cutmix"})).images.equal(Mixed(Spec({"cutmix"})).images));
  EXPECT_FALSE(Mixed(Spec({"cutmix"})).images.equal(Mixed(Spec({"cutmix"}), 2).images));
  EXPECT_FALSE(Mixed(Spec({"cutmix"})).images.equal(Mixed(Spec({"cutmix"}), 1, 7).images));
}

}  // namespace
}  // namespace qsweep::engine
