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

// How steps are taken when there is memory enough: so many lanes, each on a thread of its own, with
// so many images at a time. More images at a time would gain nothing.
struct StepShape {
  int64_t lanes = 1;
  int64_t images_per_lane = 1;
  int64_t micro_batch() const { return lanes * images_per_lane; }
};

// The most live bytes there can be while the gradients of that many images are computed at a time.
// Throws OutOfMemory.
using PeakProbe = std::function<int64_t(int64_t micro_batch, Checkpointing checkpointing)>;

// Without a limit (0): the shape's micro-batch or the effective batch if it is smaller, recomputing
// nothing unless asked.
//
// With a limit: the most that fits, every peak measured, from one image a lane on. If not even one
// a lane fits, a single lane does with fewer. Then the images are evened out over the passes that
// they take: as few as with the most that fits, in no more memory than they need.
// gradient_checkpointing `auto` is the least with which every lane has an image (a single lane 8):
// smaller micro-batches cost less than recomputation does. An error that blames the resources when
// not even one image fits. The plan tells the peak that was measured for it.
absl::StatusOr<v1::StepPlan> PlanStep(const v1::ExperimentSpec& spec, const StepShape& shape,
                                      int64_t limit_bytes, const PeakProbe& probe);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_MICRO_BATCH_H_
