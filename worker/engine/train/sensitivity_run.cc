// training.method: sensitivity as a run: its data, weights, events and result.
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/spec/models.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/device.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/quant/weight_file.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/memory_account.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/products.h"
#include "worker/engine/train/sensitivity.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/weights.h"

namespace qsweep::engine {
namespace {

absl::Status Tell(const v1::LayerMeasurement& layer, int64_t done, Reporter& reporter) {
  v1::Metrics metrics;
  metrics.set_step(done);
  metrics.set_epoch(1);
  const std::string prefix = absl::StrCat("sensitivity/", layer.layer(), "/", layer.quant_type());
  AddPoint(absl::StrCat(prefix, "/loss_change"), layer.loss_change(), &metrics);
  AddPoint(absl::StrCat(prefix, "/top1_change"), layer.top1_change(), &metrics);
  AddPoint(absl::StrCat(prefix, "/divergence"), layer.divergence(), &metrics);
  AddPoint(absl::StrCat(prefix, "/bits_per_weight"), layer.bits_per_weight(), &metrics);
  return reporter.Points(metrics, SensitivityLine(layer));
}

absl::Status Announce(const SensitivityTask& task, Reporter& reporter) {
  const auto layers = static_cast<int64_t>(LayersToMeasure(task.spec).size());
  v1::Started started;
  started.set_total_steps(layers * static_cast<int64_t>(task.types.size()));
  started.set_steps_per_epoch(started.total_steps());
  started.set_pid(::getpid());
  return reporter.Started(started);
}

absl::StatusOr<v1::RunResult> Run(const v1::ExperimentSpec& spec, const TrainOptions& options,
                                  const std::function<bool()>& stop, Reporter& reporter) {
  const absl::Duration begin = SystemClock().Monotonic();
  RETURN_IF_ERROR(UseDevice(options.device));
  const int threads = ConfigureThreads(options.threads);
  const int64_t limit = MemoryLimit(options.memory_limit_bytes);
  ASSIGN_OR_RETURN(const Dataset data,
                   LoadDataset(spec.dataset(), options.data_root, Split::kTest));
  RETURN_IF_ERROR(LimitTensors(limit, static_cast<int64_t>(data.pixels.size())));
  ASSIGN_OR_RETURN(const std::string file,
                   FindWeights(spec.model(), options.model_root, options.weights_file));
  ASSIGN_OR_RETURN(const TensorFile weights, ReadWeightFile(file));
  const ComputeType compute = ChooseComputeType(spec);

  SensitivityTask task;
  task.spec = spec;
  task.compute = compute.type;
  task.types = TypesToMeasure(spec.quantization());
  task.weights = &weights;
  task.data = &data;
  task.stop = stop;
  task.tell = [&reporter](const v1::LayerMeasurement& layer, int64_t done, int64_t) {
    return Tell(layer, done, reporter);
  };
  RETURN_IF_ERROR(Announce(task, reporter));
  v1::RunResult result;
  absl::StatusOr<v1::Sensitivity> measured = MeasureSensitivity(task);
  if (!measured.ok()) return Annotate(measured.status(), file);
  *result.mutable_sensitivity() = *std::move(measured);
  result.set_model(spec.model().name());
  result.set_method(spec.training().method());
  result.set_steps(result.sensitivity().layers_size());
  *result.mutable_best() = *result.mutable_final() = result.sensitivity().unquantized();
  *result.mutable_provenance() = MakeProvenance(spec, threads);
  result.mutable_provenance()->set_weights_file(file);
  ASSIGN_OR_RETURN(*result.mutable_provenance()->mutable_weights_sha256(), Sha256HexOfFile(file));
  result.mutable_quantization()->set_quant_type("none");
  result.mutable_quantization()->set_compute_dtype_asked(compute.asked);
  result.mutable_quantization()->set_compute_dtype_used(compute.used);
  result.set_train_seconds(absl::ToDoubleSeconds(SystemClock().Monotonic() - begin));
  return result;
}

}  // namespace

std::string SensitivityLine(const v1::LayerMeasurement& layer) {
  return absl::StrFormat("%-20s %-7s %6.3f bits  loss %+.4f  top-1 %+.2f %%  divergence %.3g",
                         layer.layer(), layer.quant_type(), layer.bits_per_weight(),
                         layer.loss_change(), 100 * layer.top1_change(), layer.divergence());
}

absl::StatusOr<TrainOutcome> RunSensitivity(const v1::ExperimentSpec& spec,
                                            const TrainOptions& options,
                                            const std::function<bool()>& stop, Reporter& reporter) {
  TrainOutcome outcome = TrainOutcome::kFinished;
  RETURN_IF_ERROR(CatchExceptions([&]() -> absl::Status {
    const absl::StatusOr<v1::RunResult> result = Run(spec, options, stop, reporter);
    if (absl::IsCancelled(result.status())) {
      outcome = TrainOutcome::kStopped;
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(result.status());
    return reporter.Finished(*result);
  }));
  return outcome;
}

}  // namespace qsweep::engine
