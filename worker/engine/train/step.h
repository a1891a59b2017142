// One optimizer step: its gradients and their application. The images of a step are shared out to
// passes over a few each, which lanes, of one thread each, take one after another. So threads meet
// once a step, what a pass touches stays in the caches, and memory is needed for the few images
// only. A device other than the CPU is one lane with as many images as its memory holds.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_STEP_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_STEP_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/data/loader.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/train/micro_batch.h"
#include "worker/engine/train/optimizer.h"

namespace qsweep::engine {

// How this model's steps are best taken with the threads there are.
StepShape ShapeOfSteps(const Vit& model);

// Leaves the gradient of the batch's mean loss (cross-entropy with label smoothing) in the
// optimizer's gradients and returns that loss. `step` is 0-based. Running out of memory halves
// plan->micro_batch and computes the step anew; with one image it is an error that blames the
// resources. Takes the loss scale on and off (loss_scale.h).
absl::StatusOr<double> ComputeGradients(const Vit& model, AdamW& optimizer, const Batch& batch,
                                        int64_t step, double label_smoothing, v1::StepPlan* plan);

// Checks the optimizer's gradients, clips them to a global norm of `max_norm` (0: any), makes
// update `step` (1-based) with them and quantizes anew what depends on it. Returns each slot's
// squared norm.
absl::StatusOr<std::vector<double>> ApplyGradients(Vit& model, AdamW& optimizer, int64_t step,
                                                   double learning_rate, double max_norm);

// Measures what ComputeGradients needs on images of zeros, for PlanStep. `loader_bytes` is what the
// batches of images take meanwhile, if the model is on the CPU as they are. Leaves the optimizer's
// gradients zero unless it throws.
PeakProbe MakePeakProbe(const Vit& model, AdamW& optimizer, int64_t image_size,
                        int64_t loader_bytes);

// Logits of a batch, by lanes as well. Throws OutOfMemory.
at::Tensor Logits(const Vit& model, const at::Tensor& images);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_STEP_H_
