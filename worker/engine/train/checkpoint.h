// Checkpoints: one safetensors file with the trainable parameters, their moments and best values,
// and the trainer's state and a checksum in its metadata. Everything else that a step depends on is
// a function of the spec and the step.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_CHECKPOINT_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/train/optimizer.h"

namespace qsweep::engine {

// Values of the best epoch, one a slot; of no meaning until TrainerState has a best evaluation.
using BestValues = std::vector<at::Tensor>;

// Made before a step is planned, so that the plan counts them though they are filled later.
BestValues MakeBestValues(const std::vector<AdamW::Slot>& slots);

struct Checkpoint {
  v1::TrainerState state;
  TensorFile file;
};

// The file's facts: name checkpoint-STEP.safetensors, SHA-256 and size.
absl::StatusOr<v1::FileFact> WriteCheckpoint(const std::string& directory,
                                             const v1::TrainerState& state,
                                             const std::vector<AdamW::Slot>& slots,
                                             const BestValues& best);

// InvalidArgument if it belongs to another spec; DataLoss if it is damaged or no checkpoint.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path, const std::string& run_key);

// Copies the tensors in place, the best values if the state has any. DataLoss if one is missing or
// has another shape.
absl::Status RestoreTensors(const Checkpoint& checkpoint, const std::vector<AdamW::Slot>& slots,
                            const BestValues& best);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_CHECKPOINT_H_
