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
#include "worker/engine/train/optimizer.h"

namespace qsweep::engine {

// Values of the best epoch, one a slot; of no meaning until TrainerState has a best evaluation.
using BestValues = std::vector<at::Tensor>;

// Made before a step is planned, so that the plan counts them though they are filled later.
BestValues MakeBestValues(const std::vector<AdamW::Slot>& slots);

// Its tensors stay in the file: beside those that they are for there may be no memory for them.
struct Checkpoint {
  std::string path;
  v1::TrainerState state;
};

// The file's facts: name checkpoint-STEP.safetensors, SHA-256 and size.
absl::StatusOr<v1::FileFact> WriteCheckpoint(const std::string& directory,
                                             const v1::TrainerState& state,
                                             const std::vector<AdamW::Slot>& slots,
                                             const BestValues& best);

// InvalidArgument if it belongs to another spec; DataLoss if it is damaged or no checkpoint.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path, const std::string& run_key);

// Reads the tensors into place, the best values if the state has any. DataLoss if one is missing or
// has another shape.
absl::Status RestoreTensors(const Checkpoint& checkpoint, const std::vector<AdamW::Slot>& slots,
                            const BestValues& best);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_CHECKPOINT_H_
