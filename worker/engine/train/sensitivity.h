// What quantizing one layer at a time does to a trained model.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_SENSITIVITY_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_SENSITIVITY_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/spec/modules.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/train/reporter.h"
#include "worker/engine/train/trainer.h"

namespace qsweep::engine {

struct SensitivityTask {
  v1::ExperimentSpec spec;  // complete: model, block size, double quantization, skipped modules
  at::ScalarType compute = at::kFloat;
  std::vector<std::string> types;       // int8, nf4, ...: each layer is measured in each
  const TensorFile* weights = nullptr;  // with timm's names
  const Dataset* data = nullptr;        // all of it is evaluated for each measurement
  std::function<bool()> stop;
  // Told of each measurement, in order; may be null.
  std::function<absl::Status(const v1::LayerMeasurement&, int64_t done, int64_t of)> tell;
};

// The linears of the blocks that quantization.skip_modules does not name.
std::vector<ModuleShape> LayersToMeasure(const v1::ExperimentSpec& spec);

// All of them in all types. Deterministic. Cancelled when `stop` says so.
absl::StatusOr<v1::Sensitivity> MeasureSensitivity(const SensitivityTask& task);

// quantization.bits: auto. Measures on the first 64 images of `training` and returns the overrides.
absl::StatusOr<std::vector<std::string>> ChooseOverrides(const v1::ExperimentSpec& spec,
                                                         at::ScalarType compute,
                                                         const TensorFile& weights,
                                                         const Dataset& training,
                                                         const std::function<bool()>& stop);

// The types that a sensitivity run measures: int8 and quantization.quant_type, or the one of them
// that quantization.bits names.
std::vector<std::string> TypesToMeasure(const v1::Quantization& quantization);

// For a person.
std::string SensitivityLine(const v1::LayerMeasurement& layer);

// training.method: sensitivity, as Train (trainer.h): points of each measurement as it is made, the
// whole in the result. Begins anew when it is stopped.
absl::StatusOr<TrainOutcome> RunSensitivity(const v1::ExperimentSpec& spec,
                                            const TrainOptions& options,
                                            const std::function<bool()>& stop, Reporter& reporter);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_SENSITIVITY_H_
