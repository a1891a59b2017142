#include "worker/engine/data/image_transform.h"

#include <cmath>
#include <tuple>
#include <utility>

#include "common/status.h"
#include "worker/engine/base/random.h"
#include "worker/engine/data/augment.h"

namespace qsweep::engine {
namespace {

constexpr double kCropPart = 0.9;  // timm: deit_*_patch16_224, crop_pct

// (h, w) with the shorter side made `size`, as torchvision's Resize.
std::pair<int64_t, int64_t> ShorterSideTo(int64_t size, int64_t height, int64_t width) {
  if (height <= width) return {size, size * width / height};
  return {size * height / width, size};
}

// Of the middle `size` of `length`, as torchvision's CenterCrop: half to even.
int64_t MiddleBegin(int64_t length, int64_t size) {
  return static_cast<int64_t>(std::nearbyint(static_cast<double>(length - size) / 2));
}

}  // namespace

ImageTransform::ImageTransform(const ModelShape& model, int64_t image_size, const Dataset& dataset)
    : dataset_(dataset),
      image_size_(image_size),
      resampler_(dataset.of_files() ? 1 : dataset.height, dataset.of_files() ? 1 : dataset.width,
                 image_size, image_size) {
  QSWEEP_CHECK(dataset.channels == 1 || dataset.channels == 3);
  for (int channel = 0; channel < 3; ++channel) {
    const float mean = static_cast<float>(model.mean[channel]);
    const float std = static_cast<float>(model.std[channel]);
    for (int value = 0; value < 256; ++value) {
      normalised_[channel][value] = (static_cast<float>(value) / 255.0f - mean) / std;
    }
  }
}

void ImageTransform::Evaluation(int64_t index, float* out) const {
  Transform(dataset_.At(index), /*whole=*/!dataset_.of_files(), out);
}

void ImageTransform::Training(int64_t index, const v1::Dataset& spec, uint64_t seed, int64_t epoch,
                              float* out) const {
  RandomStream random(MakeKey(seed, Purpose::kAugmentation), static_cast<uint64_t>(epoch),
                      static_cast<uint32_t>(index));
  Image image = dataset_.At(index);
  const bool cropped = AugmentPixels(spec, random, &image);
  Transform(image, cropped || !dataset_.of_files(), out);
  EraseRandomly(spec, random, image_size_, out);
}

void ImageTransform::Transform(const Image& image, bool whole, float* out) const {
  if (image.height == dataset_.height && image.width == dataset_.width) {
    Normalise(resampler_, image, out);
    return;
  }
  int64_t height = image_size_, width = image_size_;
  if (!whole) {
    const auto shorter = static_cast<int64_t>(static_cast<double>(image_size_) / kCropPart);
    std::tie(height, width) = ShorterSideTo(shorter, image.height, image.width);
  }
  const Span rows = {MiddleBegin(height, image_size_), image_size_};
  const Span columns = {MiddleBegin(width, image_size_), image_size_};
  Normalise(Resampler(image.height, image.width, height, width, rows, columns), image, out);
}

void ImageTransform::Normalise(const Resampler& resampler, const Image& image, float* out) const {
  const int64_t stored = image.height * image.width, made = image_size_ * image_size_;
  thread_local std::vector<uint8_t> resized;
  resized.resize(made);
  for (int64_t channel = 0; channel < 3; ++channel, out += made) {
    if (channel < image.channels) {
      resampler.Resize(image.pixels.data() + channel * stored, resized.data());
    }
    const std::array<float, 256>& normalised = normalised_[channel];
    for (int64_t i = 0; i < made; ++i) out[i] = normalised[resized[i]];
  }
}

}  // namespace qsweep::engine
