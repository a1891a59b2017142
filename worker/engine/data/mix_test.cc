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
void ExpectTargetsTellTheMixture(const Batch& batch, double tolerance) {
  EXPECT_TRUE(batch.targets.sum(1).allclose(at::ones({kSize})));
  const at::Tensor labels = at::arange(kSize).to(at::kFloat);
  EXPECT_TRUE(
      at::matmul(batch.targets, labels).allclose(batch.images.mean({1, 2, 3}), 0, tolerance));
}

TEST(MixBatch, MixupBlendsImagesAndLabels) {
  const Batch batch = Mixed(Spec({"mixup"}, 0.8));
  ExpectTargetsTellTheMixture(batch, 1e-3);
  EXPECT_TRUE(batch.images.amax({1, 2, 3}).equal(batch.images.amin({1, 2, 3})));  // not boxes
  EXPECT_FLOAT_EQ(batch.targets[50][50].item<float>(), 1);  // the middle one with itself
}

TEST(MixBatch, CutmixPastesABoxAndCountsItsPixels) {
  const Batch batch = Mixed(Spec({"cutmix"}));
  ExpectTargetsTellTheMixture(batch, 1e-3);
  for (int64_t i = 0; i < kSize; ++i) {
    const at::Tensor other = batch.images[i] != static_cast<double>(i);
    EXPECT_TRUE((batch.images[i].masked_select(other) == static_cast<double>(kSize - 1 - i))
                    .all()
                    .item<bool>());
  }
}

TEST(MixBatch, WithBothACoinDecides) {
  const Batch batch = Mixed(Spec({"mixup", "cutmix"}));
  ExpectTargetsTellTheMixture(batch, 1e-3);
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
    const double mean = sum / static_cast<double>(n);
    const double variance = squares / static_cast<double>(n) - mean * mean;
    EXPECT_NEAR(mean, 0.5, 0.03);
    const double expected = 1 / (4 * (2 * alpha + 1));  // of Beta(alpha, alpha)
    EXPECT_NEAR(variance, expected, 0.08 * expected) << alpha;
  }
}

TEST(MixBatch, DependsOnSeedEpochAndImageAlone) {
  EXPECT_TRUE(Mixed(Spec({"cutmix"})).images.equal(Mixed(Spec({"cutmix"})).images));
  EXPECT_FALSE(Mixed(Spec({"cutmix"})).images.equal(Mixed(Spec({"cutmix"}), 2).images));
  EXPECT_FALSE(Mixed(Spec({"cutmix"})).images.equal(Mixed(Spec({"cutmix"}), 1, 7).images));
}

}  // namespace
}  // namespace qsweep::engine
