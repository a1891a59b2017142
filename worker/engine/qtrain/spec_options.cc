#include "worker/engine/qtrain/spec_options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/proto_json.h"
#include "common/spec/fields.h"
#include "common/spec/patch.h"
#include "common/spec/spec.h"
#include "common/status.h"

namespace qsweep::engine {
namespace {

absl::Status Set(const std::string& assignment, v1::ExperimentSpec* spec) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--set ", assignment, ": must be FIELD=VALUE, as quantization.bits=4"));
  }
  const std::string path = assignment.substr(0, equals), value = assignment.substr(equals + 1);
  const SpecField* field = FindSpecField(path);
  if (field == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("--set ", path, ": ", UnknownKey(path)));
  }
  ClearField(*field, spec);
  std::vector<std::string> elements = {value};
  if (field->leaf->is_repeated()) elements = absl::StrSplit(value, ',', absl::SkipEmpty());
  for (const std::string& element : elements) {
    RETURN_IF_ERROR(Annotate(AddText(*field, element, spec), absl::StrCat("--set ", path)));
  }
  return absl::OkStatus();
}

}  // namespace

void AddDevice(Command command, std::string* device) {
  command.AddOption("--device", device, "cpu, cuda or, of several, cuda:1 (default: cpu)");
}

void SpecOptions::AddTo(Command command) {
  command.AddOption("--spec", &spec_file, "ExperimentSpec as JSON; default: all defaults");
  command.AddOption("--set", &sets, "FIELD=VALUE, as model.name=deit_tiny_patch16_224; repeatable");
  command.AddOption("--data-root", &data_root, "where datasets lie");
  command.AddOption("--model-root", &model_root, "where weights lie");
  command.AddOption("--weights", &weights_file, "safetensors file, quantized or not");
  command.AddOption("--threads", &threads, "0: all cores").Between(0, kMaxThreads);
  AddDevice(command, &device);
}

absl::Status CheckBitsChosen(const v1::ExperimentSpec& spec) {
  if (spec.quantization().bits() >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "quantization.bits: auto is chosen by a run; give the overrides that its result names");
}

absl::StatusOr<v1::ExperimentSpec> SpecOptions::Load() const {
  v1::ExperimentSpec spec;
  if (!spec_file.empty()) {
    ASSIGN_OR_RETURN(const std::string json, ReadFile(spec_file, kMaxSpecBytes));
    RETURN_IF_ERROR(Annotate(FromJson(json, &spec), spec_file));
  }
  for (const std::string& assignment : sets) RETURN_IF_ERROR(Set(assignment, &spec));
  // Of a model that has none of its own, a spec must name them.
  if (spec.model().weights().empty()) spec.mutable_model()->set_weights(weights_file);
  return CompleteSpec(spec);
}

}  // namespace qsweep::engine
