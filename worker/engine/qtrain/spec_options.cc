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

constexpr int kMaxThreads = 4096;
constexpr int64_t kMaxSpecBytes = 1 << 20;

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

void AddSpec(Command command, std::string* spec_file) {
  command.AddOption("--spec", spec_file, "ExperimentSpec as JSON").Required();
}

void AddRoots(Command command, std::string* data_root, std::string* model_root) {
  command.AddOption("--data-root", data_root, "where datasets lie");
  command.AddOption("--model-root", model_root, "where weights lie");
}

void AddThreads(Command command, int* threads) {
  command.AddOption("--threads", threads, "0: all cores").Between(0, kMaxThreads);
}

void AddMemoryLimit(Command command, int64_t* bytes) {
  command.AddBytes("--memory-limit", bytes,
                   "of the process or, with --device cuda, on the device, as in 512M; 0: none");
}

void AddDevice(Command command, std::string* device) {
  command.AddOption("--device", device, "cpu, cuda or, of several, cuda:1 (default: cpu)");
}

void SpecOptions::AddTo(Command command) {
  command.AddOption("--spec", &spec_file, "ExperimentSpec as JSON; default: all defaults");
  command.AddOption("--set", &sets, "FIELD=VALUE, as model.name=deit_tiny_patch16_224; repeatable");
  AddRoots(command, &data_root, &model_root);
  command.AddOption("--weights", &weights_file, "safetensors file, quantized or not");
  AddThreads(command, &threads);
  AddDevice(command, &device);
}

absl::Status CheckBitsChosen(const v1::ExperimentSpec& spec) {
  if (spec.quantization().bits() >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "quantization.bits: auto is chosen by a run; give the overrides that its result names");
}

absl::StatusOr<v1::ExperimentSpec> LoadSpec(const std::string& path,
                                            const std::string& weights_file) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(path, kMaxSpecBytes));
  v1::ExperimentSpec spec;
  RETURN_IF_ERROR(Annotate(FromJson(json, &spec), path));
  if (!weights_file.empty() && spec.model().has_pretrained() && !spec.model().pretrained()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": model.pretrained: false means random weights, --weights ",
                     weights_file, " others; leave out one of the two"));
  }
  const bool stands_in = !weights_file.empty() && spec.model().weights().empty();
  if (stands_in) spec.mutable_model()->set_weights(weights_file);
  absl::StatusOr<v1::ExperimentSpec> complete = CompleteSpec(spec);
  if (!complete.ok()) return Annotate(complete.status(), path);
  // The run is the same wherever the file lies: its content is noted beside the spec.
  if (stands_in) complete->mutable_model()->clear_weights();
  return complete;
}

absl::StatusOr<v1::ExperimentSpec> SpecOptions::Load() const {
  v1::ExperimentSpec spec;
  if (!spec_file.empty()) {
    ASSIGN_OR_RETURN(const std::string json, ReadFile(spec_file, kMaxSpecBytes));
    RETURN_IF_ERROR(Annotate(FromJson(json, &spec), spec_file));
  }
  for (const std::string& assignment : sets) RETURN_IF_ERROR(Set(assignment, &spec));
  // The model is these weights, whatever the spec's run began from; of a model that has none of its
  // own, a spec must name them.
  if (!weights_file.empty()) {
    spec.mutable_model()->set_pretrained(true);
    if (spec.model().weights().empty()) spec.mutable_model()->set_weights(weights_file);
  }
  // How a run's adapters began is settled in the files it wrote, and not to be held against fields
  // that are set here.
  if (spec.has_lora()) spec.mutable_lora()->clear_init_lora_weights();
  return CompleteSpec(spec);
}

}  // namespace qsweep::engine
