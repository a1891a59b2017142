// How many images at a time, and what backward recomputes: decided by the memory there is. What a
// step computes does not depend on it, but for rounding.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_MICRO_BATCH_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_MICRO_BATCH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/model/vit.h"

namespace qsweep::engine {

Checkpointing CheckpointingFromName(const std::string& name);

// Computes the gradients of that many images and returns the highest total of live bytes meanwhile.
// Throws OutOfMemory.
using PeakProbe = std::function<int64_t(int64_t micro_batch, Checkpointing checkpointing)>;

// Without a limit (0): the effective batch, at most 32 at a time, recomputing nothing unless asked.
//
// With a limit: the peak is measured with 1 and with 2 images; it is linear in their number, since
// every activation is. The micro-batch is the largest that fits, then evened out over the
// accumulation steps that it takes (20 of 32 become 16). gradient_checkpointing `auto` is the
// least with which the effective batch, or at least 8 images of it, fit: smaller micro-batches cost
// less than recomputation does. An error that blames the resources when not even one image fits.
absl::StatusOr<v1::StepPlan> PlanStep(const v1::ExperimentSpec& spec, int64_t limit_bytes,
                                      const PeakProbe& probe);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_MICRO_BATCH_H_
