// From stored images to the batches a step trains on. What a batch holds is a function of (seed, epoch,
// step) alone: the order is a permutation drawn per epoch, the augmentation of an image depends on
// (seed, epoch, index of the image). Decoding runs ahead on one thread of its own.
#ifndef QSWEEP_WORKER_ENGINE_DATA_LOADER_H_
#define QSWEEP_WORKER_ENGINE_DATA_LOADER_H_

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "common/spec/models.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/data/dataset.h"

namespace qsweep::engine {

// Resize to image_size squared (bicubic, a = -0.5, antialiased as PIL does; nothing when the size is
// the same), one channel repeated to three, normalised by the model's mean and std. fp32.
class ImageTransform {
 public:
  ImageTransform(const ModelShape& model, int64_t image_size, const Dataset& dataset);
  // Writes [3, S, S] for image `index`.
  void Evaluation(int64_t index, float* out) const;
  // The same after `augmentation` (spec.dataset.augmentation, in order, on the stored pixels):
  // horizontal_flip with p = 1/2; padded_crop: zero padding by 1/8 of the side, random crop.
  void Training(int64_t index, const std::vector<std::string>& augmentation, uint64_t seed,
                int64_t epoch, float* out) const;
  int64_t image_size() const;

 private:
  struct Plan;  // resampling weights, made once
  std::shared_ptr<const Plan> plan_;
};

struct Batch {
  at::Tensor images;  // fp32 [B, 3, S, S]
  at::Tensor labels;  // int64 [B]
};

// The effective batches of training, in order. The last, smaller batch of an epoch is kept.
class TrainingLoader {
 public:
  // `spec` is complete. The dataset must outlive the loader.
  TrainingLoader(const v1::ExperimentSpec& spec, const ModelShape& model, const Dataset& dataset);
  ~TrainingLoader();
  int64_t steps_per_epoch() const;
  // Batches from `step` (0-based, counted over all epochs) on are prefetched from now on. Call before
  // the first Next and after a resume.
  void Seek(int64_t step);
  // The next effective batch.
  Batch Next();

 private:
  class Prefetcher;
  std::unique_ptr<Prefetcher> prefetcher_;
  int64_t steps_per_epoch_ = 0;
};

// Image indices of one epoch (1-based) in training order.
std::vector<int64_t> EpochOrder(uint64_t seed, int64_t epoch, int64_t size);

// The evaluation batch [begin, end) of a dataset.
Batch EvaluationBatch(const ImageTransform& transform, const Dataset& dataset, int64_t begin, int64_t end);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_LOADER_H_
