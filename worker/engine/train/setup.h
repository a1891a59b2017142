// From a spec to something that can take a step, under a memory limit. Training and the benchmark
// begin the same way.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_SETUP_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_SETUP_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/train/optimizer.h"
#include "worker/engine/train/process.h"

namespace qsweep::engine {

// What qtrain and its libraries keep resident beside tensors and images: 185 MB measured in
// training (Debian 12, two threads).
inline constexpr int64_t kProgramBytes = int64_t{192} << 20;

// Limits tensors to what a process limit (0: none) leaves after the program itself and `data_bytes`
// of images. A device's memory holds tensors alone.
absl::Status LimitTensors(int64_t process_limit_bytes, int64_t data_bytes);

v1::TrainingInputs DescribeInputs(const std::string& weights_sha256, const Dataset& training,
                                  const Dataset& evaluation);

// Unavailable, naming what differs, if a run that began with `had` finds `has` here.
absl::Status CheckInputs(const v1::TrainingInputs& had, const v1::TrainingInputs& has);

// The base of `spec`, quantized as there, with nothing but a head to train: what the spec trains in
// full beside adapters stays unquantized.
v1::ExperimentSpec BaseOf(const v1::ExperimentSpec& spec);

struct Trainee {
  std::unique_ptr<Vit> model;
  std::unique_ptr<AdamW> optimizer;
};

// `weights_file` may be empty: random initialisation.
absl::StatusOr<Trainee> MakeTrainee(const v1::ExperimentSpec& spec, const ComputeType& compute,
                                    int64_t classes, const std::string& weights_file);

// After LimitTensors with the same arguments. `image_type` is that of the loader's images.
absl::StatusOr<v1::StepPlan> MakePlan(const v1::ExperimentSpec& spec, Trainee& trainee,
                                      at::ScalarType image_type, int64_t process_limit_bytes,
                                      int64_t data_bytes);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_SETUP_H_
