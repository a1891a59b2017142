#include "worker/engine/data/image_transform.h"

#include <algorithm>

#include "common/status.h"
#include "worker/engine/base/random.h"

namespace qsweep::engine {
namespace {

void FlipHorizontally(const Dataset& dataset, std::vector<uint8_t>& image) {
  for (int64_t line = 0; line < dataset.channels * dataset.height; ++line) {
    std::reverse(image.begin() + line * dataset.width, image.begin() + (line + 1) * dataset.width);
  }
}

// Moves the image by (dy, dx) within its frame; what comes in is 0. The same as padding, then a
// crop.
void Shift(const Dataset& dataset, int64_t dy, int64_t dx, std::vector<uint8_t>& image) {
  const std::vector<uint8_t> before = image;
  const int64_t height = dataset.height, width = dataset.width;
  std::fill(image.begin(), image.end(), 0);
  for (int64_t c = 0; c < dataset.channels; ++c) {
    for (int64_t y = std::max<int64_t>(0, -dy); y < std::min(height, height - dy); ++y) {
      const int64_t begin = std::max<int64_t>(0, -dx), end = std::min(width, width - dx);
      const uint8_t* const from = before.data() + (c * height + y) * width;
      std::copy(from + begin, from + end,
                image.data() + (c * height + y + dy) * width + begin + dx);
    }
  }
}

}  // namespace

ImageTransform::ImageTransform(const ModelShape& model, int64_t image_size, const Dataset& dataset)
    : dataset_(dataset),
      image_size_(image_size),
      resampler_(dataset.height, dataset.width, image_size, image_size) {
  QSWEEP_CHECK(dataset.channels == 1 || dataset.channels == 3);
  for (int channel = 0; channel < 3; ++channel) {
    const float mean = static_cast<float>(model.mean[channel]);
    const float std = static_cast<float>(model.std[channel]);
    for (int value = 0; value < 256; ++value) {
      normalised_[channel][value] = (static_cast<float>(value) / 255.0f - mean) / std;
    }
  }
}

const uint8_t* ImageTransform::Stored(int64_t index) const {
  QSWEEP_CHECK(index >= 0 && index < dataset_.size());
  return dataset_.pixels.data() + index * dataset_.channels * dataset_.height * dataset_.width;
}

void ImageTransform::Evaluation(int64_t index, float* out) const { Transform(Stored(index), out); }

void ImageTransform::Training(int64_t index, const std::vector<std::string>& augmentation,
                              uint64_t seed, int64_t epoch, float* out) const {
  const uint8_t* const stored = Stored(index);
  std::vector<uint8_t> image(stored, stored + dataset_.channels * dataset_.height * dataset_.width);
  RandomStream random(MakeKey(seed, Purpose::kAugmentation), static_cast<uint64_t>(epoch),
                      static_cast<uint32_t>(index));
  for (const std::string& name : augmentation) {
    if (name == "horizontal_flip") {
      if (random.NextBelow(2) == 1) FlipHorizontally(dataset_, image);
    } else if (name == "padded_crop") {
      const int64_t pad_y = dataset_.height / 8, pad_x = dataset_.width / 8;
      const int64_t dy = random.NextBelow(static_cast<uint32_t>(2 * pad_y + 1)) - pad_y;
      const int64_t dx = random.NextBelow(static_cast<uint32_t>(2 * pad_x + 1)) - pad_x;
      Shift(dataset_, dy, dx, image);
    } else {
      QSWEEP_CHECK(false && "an augmentation that the spec's check lets pass, but nobody wrote");
    }
  }
  Transform(image.data(), out);
}

void ImageTransform::Transform(const uint8_t* image, float* out) const {
  const int64_t stored = dataset_.height * dataset_.width, size = image_size_ * image_size_;
  thread_local std::vector<uint8_t> resized;
  resized.resize(size);
  for (int64_t channel = 0; channel < 3; ++channel) {
    if (channel < dataset_.channels) resampler_.Resize(image + channel * stored, resized.data());
    const std::array<float, 256>& normalised = normalised_[channel];
    float* const to = out + channel * size;
    for (int64_t i = 0; i < size; ++i) to[i] = normalised[resized[i]];
  }
}

}  // namespace qsweep::engine
