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

// Stored images of one size are resized to image_size squared (bicubic, as Pillow does). Pictures
// are treated as timm does in evaluation for DeiT: the shorter side to image_size / 0.9, bicubic,
// then the middle image_size squared. One channel is repeated to three; normalised by the model's
// mean and std as torchvision does. fp32. Safe to use from any thread. Throws ImageError.
class ImageTransform {
 public:
  // The dataset must outlive it.
  ImageTransform(const ModelShape& model, int64_t image_size, const Dataset& dataset);
  // Writes [3, S, S] for image `index`.
  void Evaluation(int64_t index, float* out) const;
  // The same with the augmentations of `spec` (augment.h) before and after; what is drawn depends
  // on (seed, epoch, index) alone.
  void Training(int64_t index, const v1::Dataset& spec, uint64_t seed, int64_t epoch,
                float* out) const;
  int64_t image_size() const { return image_size_; }

 private:
  // `whole`: nothing is cut off.
  void Transform(const Image& image, bool whole, float* out) const;
  void Normalise(const Resampler& resampler, const Image& image, float* out) const;

  const Dataset& dataset_;
  const int64_t image_size_;
  const Resampler resampler_;                         // of the stored size
  std::array<std::array<float, 256>, 3> normalised_;  // by channel and pixel value
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_IMAGE_TRANSFORM_H_
