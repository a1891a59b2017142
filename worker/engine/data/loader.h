// From stored images to the batches a step trains on. What a batch holds is a function of (seed,
// epoch, step) alone: the order is a permutation drawn per epoch, the augmentation of an image
// depends on (seed, epoch, index of the image). Decoding runs ahead on threads of its own, one for
// every four that train; all there are where another device than the CPU trains.
#ifndef QSWEEP_WORKER_ENGINE_DATA_LOADER_H_
#define QSWEEP_WORKER_ENGINE_DATA_LOADER_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "common/spec/models.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/data/image_transform.h"

namespace qsweep::engine {

struct Batch {
  at::Tensor images;   // fp32, bf16 or fp16 [B, 3, S, S]
  at::Tensor labels;   // int64 [B]
  at::Tensor targets;  // fp32 [B, classes], of mixed images; else undefined
};

// The effective batches of training, in order. The last, smaller batch of an epoch is kept. For one
// thread; batches that wait are charged to Account::kOther.
class TrainingLoader {
 public:
  // `spec` is complete. The dataset must outlive the loader and hold at least one image. `type`, of
  // the images, is the one that the model computes in: a model rounds fp32 to it the same way,
  // but until then images would take twice the memory.
  TrainingLoader(const v1::ExperimentSpec& spec, const ModelShape& model, const Dataset& dataset,
                 at::ScalarType type);
  ~TrainingLoader();
  int64_t steps_per_epoch() const;
  // Batches from `step` (0-based, counted over all epochs) on are prefetched from now on. Call
  // before the first Next and after a resume.
  void Seek(int64_t step);
  // The next effective batch; there is no last one. Throws what decoding threw (OutOfMemory,
  // ImageError), and then the same batch is next again.
  Batch Next();

 private:
  class Prefetcher;
  std::unique_ptr<Prefetcher> prefetcher_;
};

// What the images of a loader's batches take at most, with those of the batch in use.
int64_t LoaderBytes(const v1::Dataset& spec, at::ScalarType type);

// Image indices of one epoch (1-based) in training order.
std::vector<int64_t> EpochOrder(uint64_t seed, int64_t epoch, int64_t size);

// The evaluation batch [begin, end) of a dataset, fp32. Uses at::parallel_for.
Batch EvaluationBatch(const ImageTransform& transform, const Dataset& dataset, int64_t begin,
                      int64_t end);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_LOADER_H_
