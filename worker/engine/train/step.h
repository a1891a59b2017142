// One optimizer step's gradients, in as many micro-batches as the memory asks for.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_STEP_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_STEP_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/data/loader.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/train/micro_batch.h"
#include "worker/engine/train/optimizer.h"

namespace qsweep::engine {

// Leaves the gradient of the batch's mean loss (cross-entropy with label smoothing) in the
// optimizer's gradients and returns that loss. `step` is 0-based. Running out of memory halves
// plan->micro_batch and computes the step anew; with one image it is an error that blames the
// resources.
absl::StatusOr<double> ComputeGradients(Vit& model, AdamW& optimizer, const Batch& batch,
                                        int64_t step, double label_smoothing, v1::StepPlan* plan);

// Measures what ComputeGradients needs on images of zeros, for PlanStep. `resident_bytes` is what
// else will be alive meanwhile. Changes no state: gradients are zero afterwards.
PeakProbe MakePeakProbe(Vit& model, AdamW& optimizer, int64_t image_size, int64_t resident_bytes);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_STEP_H_
