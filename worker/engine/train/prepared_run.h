// What a run needs before its first step: its images, its model on its weights, the plan of a step,
// and the state it begins or goes on from.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_PREPARED_RUN_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_PREPARED_RUN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/data/loader.h"
#include "worker/engine/train/checkpoint.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/trainer.h"

namespace qsweep::engine {

// The loader reads the images where they are, so it is not moved.
struct PreparedRun {
  Dataset training_data, evaluation_data;
  ComputeType compute;
  v1::ExperimentSpec model_spec;  // the spec, bits: auto resolved
  v1::QuantizationFacts quantization;
  v1::Provenance provenance;
  Trainee trainee;
  std::optional<ImageTransform> evaluation_transform;
  std::unique_ptr<TrainingLoader> loader;
  int64_t batch_size = 0;  // the spec's, or all images if there are fewer
  int64_t total_steps = 0;

  v1::TrainerState state;  // with the tensors, all that a checkpoint holds
  BestValues best;
  int64_t resume_step = 0;
};

// Takes options.resume_file up, if any: Unavailable if weights or images are not those it began
// with. Cancelled when `stop` says so.
absl::StatusOr<std::unique_ptr<PreparedRun>> PrepareRun(const v1::ExperimentSpec& spec,
                                                        const TrainOptions& options,
                                                        const std::function<bool()>& stop);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_PREPARED_RUN_H_
