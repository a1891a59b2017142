#include "worker/engine/data/image_transform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace qsweep::engine {
namespace {

const ModelShape& Mini() { return *FindModel("vit_mini_patch4_28"); }
const ModelShape& Tiny() { return *FindModel("deit_tiny_patch16_224"); }

// `size` images of 8 x 8 whose pixels all differ within a channel.
Dataset Numbered(int64_t channels, int64_t size) {
  Dataset dataset{.channels = channels, .height = 8, .width = 8, .classes = 2};
  for (int64_t i = 0; i < size * channels * 64; ++i) {
    dataset.pixels.push_back(static_cast<uint8_t>(1 + i % 64 + 64 * (i / 64 % channels)));
  }
  dataset.labels.assign(size, 0);
  return dataset;
}

std::vector<float> Evaluated(const ImageTransform& transform, int64_t index) {
  std::vector<float> out(3 * transform.image_size() * transform.image_size());
  transform.Evaluation(index, out.data());
  return out;
}

// The stored pixels of image 0 after `augmentation`: without a resize the transform can be undone.
std::vector<int> Augmented(const Dataset& dataset, const std::vector<std::string>& augmentation,
                           uint64_t seed, int64_t epoch, int64_t index) {
  std::vector<float> out(3 * 64);
  v1::Dataset spec;
  spec.mutable_augmentation()->Add(augmentation.begin(), augmentation.end());
  ImageTransform(Mini(), 8, dataset).Training(index, spec, seed, epoch, out.data());
  std::vector<int> pixels;
  for (float value : out)
    pixels.push_back(static_cast<int>(std::lround((value * 0.5f + 0.5f) * 255)));
  return pixels;
}

TEST(ImageTransform, NormalisesByTheModelAndRepeatsOneChannel) {
  const Dataset dataset = Numbered(1, 2);
  const std::vector<float> out = Evaluated(ImageTransform(Tiny(), 8, dataset), 1);
  const float pixel = dataset.pixels[64 + 10] / 255.0f;
  EXPECT_FLOAT_EQ(out[10], (pixel - 0.485f) / 0.229f);
  EXPECT_FLOAT_EQ(out[64 + 10], (pixel - 0.456f) / 0.224f);
  EXPECT_FLOAT_EQ(out[128 + 10], (pixel - 0.406f) / 0.225f);
}

TEST(ImageTransform, KeepsChannelsApartWhenItResizes) {
  Dataset dataset{.channels = 3, .height = 8, .width = 8, .classes = 1};
  for (int channel = 0; channel < 3; ++channel)
    dataset.pixels.insert(dataset.pixels.end(), 64, 50 * channel);
  dataset.labels = {0};
  const std::vector<float> out = Evaluated(ImageTransform(Mini(), 28, dataset), 0);
  for (int channel = 0; channel < 3; ++channel) {
    EXPECT_FLOAT_EQ(out[channel * 784], (50 * channel / 255.0f - 0.5f) / 0.5f);
    EXPECT_FLOAT_EQ(out[channel * 784 + 783], out[channel * 784]);
  }
}

TEST(ImageTransform, FlipsHalfOfTheImages) {
  const Dataset dataset = Numbered(3, 400);
  const std::vector<int> plain = Augmented(dataset, {}, 1, 1, 0);
  std::vector<int> mirrored;
  for (int line = 0; line < 24; ++line) {
    for (int x = 7; x >= 0; --x) mirrored.push_back(plain[line * 8 + x]);
  }
  int flipped = 0;
  for (int64_t index = 0; index < 400; ++index) {
    const std::vector<int> pixels = Augmented(dataset, {"horizontal_flip"}, 1, 1, index);
    ASSERT_TRUE(pixels == plain || pixels == mirrored);
    flipped += pixels == mirrored;
  }
  EXPECT_NEAR(flipped, 200, 3 * 10);  // three standard deviations of fixed draws
}

TEST(ImageTransform, PaddedCropMovesByAtMostAnEighth) {
  const Dataset dataset = Numbered(1, 200);
  const std::vector<int> plain = Augmented(dataset, {}, 1, 1, 0);
  std::set<std::pair<int, int>> moves;
  for (int64_t index = 0; index < 200; ++index) {
    const std::vector<int> pixels = Augmented(dataset, {"padded_crop"}, 1, 1, index);
    int matches = 0;
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        bool same = true;
        for (int y = 0; y < 8; ++y) {
          for (int x = 0; x < 8; ++x) {
            const bool inside = y - dy >= 0 && y - dy < 8 && x - dx >= 0 && x - dx < 8;
            same &= pixels[y * 8 + x] == (inside ? plain[(y - dy) * 8 + x - dx] : 0);
          }
        }
        matches += same;
        if (same) moves.insert({dy, dx});
      }
    }
    EXPECT_EQ(matches, 1) << index;
  }
  EXPECT_EQ(moves.size(), 9u) << "all moves occur";
}

TEST(ImageTransform, AugmentationDependsOnSeedEpochAndIndexAlone) {
  const Dataset dataset = Numbered(3, 32);
  const std::vector<std::string> both = {"padded_crop", "horizontal_flip"};
  std::vector<std::vector<int>> first, again, other_seed, other_epoch;
  for (int64_t index = 0; index < 32; ++index) {
    first.push_back(Augmented(dataset, both, 1, 1, index));
    other_seed.push_back(Augmented(dataset, both, 2, 1, index));
    other_epoch.push_back(Augmented(dataset, both, 1, 2, index));
  }
  for (int64_t index = 31; index >= 0; --index)
    again.push_back(Augmented(dataset, both, 1, 1, index));
  std::reverse(again.begin(), again.end());
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other_seed);
  EXPECT_NE(first, other_epoch);
}

}  // namespace
}  // namespace qsweep::engine
