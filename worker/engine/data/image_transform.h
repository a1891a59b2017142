// From a stored image to the numbers a model takes in.
#ifndef QSWEEP_WORKER_ENGINE_DATA_IMAGE_TRANSFORM_H_
#define QSWEEP_WORKER_ENGINE_DATA_IMAGE_TRANSFORM_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "common/spec/models.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/data/resample.h"

namespace qsweep::engine {

// Resize to image_size squared (bicubic, as Pillow does), one channel repeated to three, normalised
// by the model's mean and std as torchvision does. fp32. Safe to use from any thread.
class ImageTransform {
 public:
  // The dataset must outlive it.
  ImageTransform(const ModelShape& model, int64_t image_size, const Dataset& dataset);
  // Writes [3, S, S] for image `index`.
  void Evaluation(int64_t index, float* out) const;
  // The same after `augmentation` (names as in spec.dataset.augmentation, in that order, on the
  // stored pixels): horizontal_flip with p = 1/2; padded_crop: zero padding by 1/8 of the side,
  // random crop of the old size. What is drawn depends on (seed, epoch, index) alone.
  void Training(int64_t index, const std::vector<std::string>& augmentation, uint64_t seed,
                int64_t epoch, float* out) const;
  int64_t image_size() const { return image_size_; }

 private:
  const uint8_t* Stored(int64_t index) const;
  void Transform(const uint8_t* image, float* out) const;

  const Dataset& dataset_;
  const int64_t image_size_;
  const Resampler resampler_;
  std::array<std::array<float, 256>, 3> normalised_;  // by channel and pixel value
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_IMAGE_TRANSFORM_H_
