#include "worker/engine/data/augment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "common/file.h"
#include "common/hash.h"
#include "worker/engine/data/image_transform.h"

namespace qsweep::engine {
namespace {

using nlohmann::json;

const std::string kPictures = QSWEEP_SOURCE_DIR "/tests/golden/pictures/";
const ModelShape& Tiny() { return *FindModel("deit_tiny_patch16_224"); }

json Expected() { return json::parse(ReadFile(kPictures + "expected.json", 1 << 20).value_or("")); }

std::string Digest(const std::vector<uint8_t>& pixels) {
  return Sha256Hex(std::string(pixels.begin(), pixels.end()));
}

v1::Dataset Spec(const std::vector<std::string>& augmentation) {
  v1::Dataset spec;
  spec.mutable_augmentation()->Add(augmentation.begin(), augmentation.end());
  spec.set_crop_scale(0.08);
  spec.set_color_jitter(0.4);
  spec.set_random_erasing(1);
  return spec;
}

RandomStream Stream(uint32_t image) {
  return RandomStream(MakeKey(1, Purpose::kAugmentation), 1, image);
}

// Pixel (y, x) of channel c tells where it came from.
Image Ramp(int64_t height, int64_t width) {
  Image image{.channels = 3, .height = height, .width = width};
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        image.pixels.push_back(static_cast<uint8_t>(c == 0 ? y : c == 1 ? x : 7));
      }
    }
  }
  return image;
}

TEST(Augment, EnhancesAsPillow) {
  const auto original = DecodeImage(ReadFile(kPictures + "colour.png", 1 << 20).value_or(""));
  ASSERT_TRUE(original.ok());
  int compared = 0;
  const json expected = Expected();
  for (const json& entry : expected["enhanced"]) {
    Image image = *original;
    const std::string kind = entry["kind"];
    const auto adjust = kind == "Brightness" ? &AdjustBrightness
                        : kind == "Contrast" ? &AdjustContrast
                                             : &AdjustSaturation;
    adjust(entry["factor"], &image);
    EXPECT_EQ(Digest(image.pixels), entry["sha256"].get<std::string>())
        << kind << " " << entry["factor"];
    ++compared;
  }
  EXPECT_EQ(compared, 12);
}

// timm's evaluation of whole files, undone to bytes.
TEST(Augment, EvaluatesPicturesAsTimm) {
  Dataset dataset{.channels = 3, .classes = 1};
  std::vector<std::string> digests;
  const json expected = Expected();
  for (const auto& [name, entry] : expected["evaluated"].items()) {
    dataset.files.push_back(kPictures + name);
    dataset.labels.push_back(0);
    digests.push_back(entry["sha256"].get<std::string>());
  }
  const ImageTransform transform(Tiny(), 224, dataset);
  std::vector<float> out(3 * 224 * 224);
  for (size_t i = 0; i < digests.size(); ++i) {
    transform.Evaluation(static_cast<int64_t>(i), out.data());
    std::vector<uint8_t> pixels;
    for (size_t k = 0; k < out.size(); ++k) {
      const size_t c = k / (224 * 224);
      const double value = out[k] * Tiny().std[c] + Tiny().mean[c];
      pixels.push_back(static_cast<uint8_t>(std::lround(value * 255)));
    }
    EXPECT_EQ(Digest(pixels), digests[i]) << dataset.files[i];
  }
}

TEST(Augment, APictureThatCannotBeReadIsNamed) {
  const Dataset dataset{
      .channels = 3, .classes = 1, .files = {kPictures + "expected.json"}, .labels = {0}};
  std::vector<float> out(3 * 224 * 224);
  try {
    ImageTransform(Tiny(), 224, dataset).Evaluation(0, out.data());
    FAIL();
  } catch (const ImageError& error) {
    EXPECT_NE(std::string(error.what()).find("expected.json: neither"), std::string::npos);
  }
}

TEST(Augment, ResizedCropsHaveTheAreasAndRatiosAskedFor) {
  double area_sum = 0;
  std::set<uint8_t> tops;
  for (uint32_t i = 0; i < 500; ++i) {
    Image image = Ramp(60, 80);
    RandomStream random = Stream(i);
    ASSERT_TRUE(AugmentPixels(Spec({"random_resized_crop"}), random, &image));
    const double area = static_cast<double>(image.height * image.width) / (60 * 80);
    const double ratio = static_cast<double>(image.width) / static_cast<double>(image.height);
    // Sides are whole pixels: half a pixel of 17, the smallest side, on both.
    EXPECT_GE(area, 0.08 * 0.93);
    EXPECT_LE(area, 1);
    EXPECT_GE(ratio, 0.75 * 0.93);
    EXPECT_LE(ratio, 1.34 * 1.07);
    // What is kept is a piece of the whole.
    const int64_t plane = image.height * image.width;
    EXPECT_EQ(image.pixels[plane - 1] - image.pixels[0], image.height - 1);
    EXPECT_EQ(image.pixels[2 * plane - 1] - image.pixels[plane], image.width - 1);
    area_sum += area;
    tops.insert(image.pixels[0]);
  }
  // Areas are uniform in 0.08 .. 1, but in an image of 4:3 only those fit whose ratio is at least
  // 4/3 of their area: they are 0.432 on average, with a standard deviation of 0.216.
  EXPECT_NEAR(area_sum / 500, 0.432, 3 * 0.216 / std::sqrt(500));
  EXPECT_GT(tops.size(), 20u);
}

TEST(Augment, ErasingFillsABoxWithNoise) {
  double erased = 0;
  for (uint32_t i = 0; i < 200; ++i) {
    std::vector<float> image(3 * 32 * 32, 99.0f);
    RandomStream random = Stream(i);
    EraseRandomly(Spec({"random_erasing"}), random, 32, image.data());
    int64_t count = 0, top = 32, bottom = -1, left = 32, right = -1;
    for (int64_t k = 0; k < 32 * 32; ++k) {
      EXPECT_EQ(image[k] == 99.0f, image[2048 + k] == 99.0f);  // all channels
      if (image[k] == 99.0f) continue;
      ++count;
      top = std::min(top, k / 32), bottom = std::max(bottom, k / 32);
      left = std::min(left, k % 32), right = std::max(right, k % 32);
    }
    EXPECT_EQ(count, (bottom - top + 1) * (right - left + 1));  // a box
    EXPECT_LT(std::max(bottom - top, right - left), 31);        // of no whole line
    erased += static_cast<double>(count) / 1024;
  }
  // Uniform: three standard errors.
  EXPECT_NEAR(erased / 200, (0.02 + 1.0 / 3) / 2, 3 * (1.0 / 3 - 0.02) / std::sqrt(12 * 200));
}

TEST(Augment, ErasingHappensAsOftenAsAsked) {
  v1::Dataset spec = Spec({"random_erasing"});
  spec.set_random_erasing(0.25);
  int erased = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    std::vector<float> image(3 * 16 * 16, 99.0f);
    RandomStream random = Stream(i);
    EraseRandomly(spec, random, 16, image.data());
    erased += std::any_of(image.begin(), image.end(), [](float x) { return x != 99.0f; });
  }
  EXPECT_NEAR(erased, 250, 3 * 13.7);  // three standard deviations of fixed draws
}

TEST(Augment, DependsOnTheStreamAlone) {
  const auto augmented = [](uint32_t i) {
    Image image = Ramp(40, 40);
    RandomStream random = Stream(i);
    AugmentPixels(Spec({"random_resized_crop", "horizontal_flip", "color_jitter"}), random, &image);
    return image.pixels;
  };
  EXPECT_EQ(augmented(3), augmented(3));
  EXPECT_NE(augmented(3), augmented(4));
}

}  // namespace
}  // namespace qsweep::engine
