// qtrain sensitivity: what quantizing each layer alone does to a model, on the spot.
#include <cstdio>
#include <memory>

#include "absl/strings/str_format.h"
#include "common/proto_json.h"
#include "common/status.h"
#include "worker/engine/base/device.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/qtrain/spec_options.h"
#include "worker/engine/quant/weight_file.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/reporter.h"
#include "worker/engine/train/sensitivity.h"
#include "worker/engine/train/weights.h"

namespace qsweep::engine {
namespace {

absl::Status Measure(const SpecOptions& options, bool json) {
  ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, options.Load());
  RETURN_IF_ERROR(UseDevice(options.device));
  ConfigureThreads(options.threads);
  ASSIGN_OR_RETURN(const Dataset data,
                   LoadDataset(spec.dataset(), options.data_root, Split::kTest));
  ASSIGN_OR_RETURN(const std::string file,
                   FindWeights(spec.model(), options.model_root, options.weights_file));
  if (file.empty())
    return absl::InvalidArgumentError("model.pretrained: random weights say nothing");
  ASSIGN_OR_RETURN(const TensorFile weights, ReadWeightFile(file));
  SensitivityTask task;
  task.spec = spec;
  task.compute = ChooseComputeType(spec).type;
  task.types = TypesToMeasure(spec.quantization());
  task.weights = &weights;
  task.data = &data;
  task.stop = [] { return false; };
  if (!json) {
    task.tell = [](const v1::LayerMeasurement& layer, int64_t, int64_t) {
      Say(SensitivityLine(layer));
      return absl::OkStatus();
    };
  }
  const absl::StatusOr<v1::Sensitivity> measured = MeasureSensitivity(task);
  if (!measured.ok()) return Annotate(measured.status(), file);
  if (json) {
    std::puts(ToJson(*measured, JsonStyle::kPretty).c_str());
    return absl::OkStatus();
  }
  Say(absl::StrFormat("unquantized: loss %.4f  top-1 %.2f %%, by the labels of the %s",
                      measured->unquantized().loss(), 100 * measured->unquantized().top1(),
                      measured->labels()));
  return absl::OkStatus();
}

}  // namespace

void AddSensitivity(Command program, Action* action) {
  struct Options {
    SpecOptions spec;
    bool json = false;
  };
  const auto o = std::make_shared<Options>();
  Command command = program.AddCommand(
      "sensitivity", "Quantize one layer at a time: the change of loss and accuracy of each",
      [o, action] { *action = [o] { return Measure(o->spec, o->json); }; });
  o->spec.AddTo(command);
  command.AddFlag("--json", &o->json, "print qsweep.v1.Sensitivity");
}

}  // namespace qsweep::engine
