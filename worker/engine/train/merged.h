// What is left of a run's accuracy when its adapters are merged into the base, and when that is
// quantized again.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_MERGED_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_MERGED_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/data/image_transform.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/train/process.h"

namespace qsweep::engine {

// Fills result->merged and result->requantized. `spec`: complete, with the quantization that
// `model` has. Cancelled when `stop` says so. Throws OutOfMemory: it needs memory for two more
// models.
absl::Status EvaluateMerged(const v1::ExperimentSpec& spec, const ComputeType& compute,
                            const Vit& model, const ImageTransform& transform, const Dataset& data,
                            int64_t batch, const std::function<bool()>& stop,
                            v1::RunResult* result);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_MERGED_H_
