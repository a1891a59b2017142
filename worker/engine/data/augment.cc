#include "worker/engine/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "common/status.h"

namespace qsweep::engine {
namespace {

// Tries before the fall-back, as torchvision and timm.
constexpr int kTries = 10;

float Between(RandomStream& random, float low, float high) {
  return low + (high - low) * random.NextFloat();
}

// Uniform in the logarithm: a ratio and its inverse are equally likely.
float LogBetween(RandomStream& random, float low, float high) {
  return std::exp(Between(random, std::log(low), std::log(high)));
}

void FlipHorizontally(Image* image) {
  for (int64_t line = 0; line < image->channels * image->height; ++line) {
    const auto begin = image->pixels.begin() + line * image->width;
    std::reverse(begin, begin + image->width);
  }
}

// Moves the image by (dy, dx) within its frame; what comes in is 0. The same as padding, then a
// crop.
void Shift(int64_t dy, int64_t dx, Image* image) {
  const std::vector<uint8_t> before = image->pixels;
  const int64_t height = image->height, width = image->width;
  std::fill(image->pixels.begin(), image->pixels.end(), 0);
  for (int64_t c = 0; c < image->channels; ++c) {
    for (int64_t y = std::max<int64_t>(0, -dy); y < std::min(height, height - dy); ++y) {
      const int64_t begin = std::max<int64_t>(0, -dx), end = std::min(width, width - dx);
      const uint8_t* const from = before.data() + (c * height + y) * width;
      std::copy(from + begin, from + end,
                image->pixels.data() + (c * height + y + dy) * width + begin + dx);
    }
  }
}

void PaddedCrop(RandomStream& random, Image* image) {
  const int64_t pad_y = image->height / 8, pad_x = image->width / 8;
  const int64_t dy = random.NextBelow(static_cast<uint32_t>(2 * pad_y + 1)) - pad_y;
  const int64_t dx = random.NextBelow(static_cast<uint32_t>(2 * pad_x + 1)) - pad_x;
  Shift(dy, dx, image);
}

void Crop(int64_t top, int64_t left, int64_t height, int64_t width, Image* image) {
  Image part{.channels = image->channels, .height = height, .width = width};
  part.pixels.resize(part.channels * height * width);
  for (int64_t c = 0; c < part.channels; ++c) {
    for (int64_t y = 0; y < height; ++y) {
      const uint8_t* const from =
          image->pixels.data() + (c * image->height + top + y) * image->width + left;
      std::copy(from, from + width, part.pixels.data() + (c * height + y) * width);
    }
  }
  *image = std::move(part);
}

struct Box {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

// A box of that area and ratio (width / height) at a random place; none if it does not fit.
bool PlaceBox(RandomStream& random, int64_t height, int64_t width, float area, float ratio,
              Box* box) {
  box->width = std::lround(std::sqrt(area * ratio));
  box->height = std::lround(std::sqrt(area / ratio));
  if (box->width < 1 || box->height < 1 || box->width > width || box->height > height) return false;
  box->top = random.NextBelow(static_cast<uint32_t>(height - box->height + 1));
  box->left = random.NextBelow(static_cast<uint32_t>(width - box->width + 1));
  return true;
}

void RandomResizedCrop(float least, RandomStream& random, Image* image) {
  constexpr float kLow = 3.0f / 4, kHigh = 4.0f / 3;
  const int64_t height = image->height, width = image->width;
  const auto area = static_cast<float>(height * width);
  for (int i = 0; i < kTries; ++i) {
    const float part = area * Between(random, least, 1);
    Box box;
    if (!PlaceBox(random, height, width, part, LogBetween(random, kLow, kHigh), &box)) continue;
    Crop(box.top, box.left, box.height, box.width, image);
    return;
  }
  // The middle, as much as the ratios allow.
  const float ratio = static_cast<float>(width) / static_cast<float>(height);
  const int64_t w = ratio > kHigh ? std::lround(static_cast<float>(height) * kHigh) : width;
  const int64_t h = ratio < kLow ? std::lround(static_cast<float>(width) / kLow) : height;
  Crop((height - h) / 2, (width - w) / 2, h, w, image);
}

// Pillow's Image.blend: rounded towards zero, clipped outside 0 .. 1 of the factor.
uint8_t Blend(float from, uint8_t to, float factor) {
  const float value = from + factor * (static_cast<float>(to) - from);
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

// ITU-R 601-2, as Pillow's convert("L").
uint8_t Grey(const Image& image, int64_t i) {
  if (image.channels == 1) return image.pixels[i];
  const int64_t plane = image.height * image.width;
  const uint32_t sum = 19595u * image.pixels[i] + 38470u * image.pixels[plane + i] +
                       7471u * image.pixels[2 * plane + i];
  return static_cast<uint8_t>((sum + 0x8000) >> 16);
}

void ColorJitter(float strength, RandomStream& random, Image* image) {
  std::array<void (*)(float, Image*), 3> adjust = {&AdjustBrightness, &AdjustContrast,
                                                   &AdjustSaturation};
  for (uint32_t i = 2; i > 0; --i) std::swap(adjust[i], adjust[random.NextBelow(i + 1)]);
  for (const auto& change : adjust) change(Between(random, 1 - strength, 1 + strength), image);
}

}  // namespace

void AdjustBrightness(float factor, Image* image) {
  for (uint8_t& pixel : image->pixels) pixel = Blend(0, pixel, factor);
}

void AdjustContrast(float factor, Image* image) {
  const int64_t plane = image->height * image->width;
  int64_t sum = 0;
  for (int64_t i = 0; i < plane; ++i) sum += Grey(*image, i);
  const auto mean =
      static_cast<float>(std::floor(static_cast<double>(sum) / static_cast<double>(plane) + 0.5));
  for (uint8_t& pixel : image->pixels) pixel = Blend(mean, pixel, factor);
}

void AdjustSaturation(float factor, Image* image) {
  const int64_t plane = image->height * image->width;
  for (int64_t i = 0; i < plane; ++i) {
    const uint8_t grey = Grey(*image, i);
    for (int64_t c = 0; c < image->channels; ++c) {
      uint8_t& pixel = image->pixels[c * plane + i];
      pixel = Blend(grey, pixel, factor);
    }
  }
}

bool AugmentPixels(const v1::Dataset& spec, RandomStream& random, Image* image) {
  bool whole = false;
  for (const std::string& name : spec.augmentation()) {
    if (name == "horizontal_flip") {
      if (random.NextBelow(2) == 1) FlipHorizontally(image);
    } else if (name == "padded_crop") {
      PaddedCrop(random, image);
    } else if (name == "random_resized_crop") {
      RandomResizedCrop(static_cast<float>(spec.crop_scale()), random, image);
      whole = true;
    } else if (name == "color_jitter") {
      ColorJitter(static_cast<float>(spec.color_jitter()), random, image);
    } else {
      QSWEEP_CHECK(name == "random_erasing" || name == "mixup" || name == "cutmix");
    }
  }
  return whole;
}

void EraseRandomly(const v1::Dataset& spec, RandomStream& random, int64_t side, float* normalised) {
  if (std::find(spec.augmentation().begin(), spec.augmentation().end(), "random_erasing") ==
          spec.augmentation().end() ||
      random.NextFloat() >= static_cast<float>(spec.random_erasing())) {
    return;
  }
  const auto area = static_cast<float>(side * side);
  Box box;
  for (int i = 0; i < kTries; ++i) {
    const float part = area * Between(random, 0.02f, 1.0f / 3);
    if (!PlaceBox(random, side, side, part, LogBetween(random, 0.3f, 1 / 0.3f), &box) ||
        box.height == side || box.width == side) {
      continue;  // timm erases no whole lines
    }
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t y = box.top; y < box.top + box.height; ++y) {
        float* const line = normalised + (c * side + y) * side;
        for (int64_t x = box.left; x < box.left + box.width; ++x) line[x] = random.NextNormal();
      }
    }
    return;
  }
}

}  // namespace qsweep::engine
