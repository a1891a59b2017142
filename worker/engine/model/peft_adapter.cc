#include "worker/engine/model/peft_adapter.h"

#include <re2/re2.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/spec/pairs.h"
#include "common/status.h"

namespace qsweep::engine {
namespace {

// Patterns are tried in the order of the file.
using json = nlohmann::ordered_json;

constexpr int64_t kMaxConfigBytes = 1 << 20;
constexpr int kMaxPatternBytes = 4096;
constexpr absl::string_view kPrefix = "base_model.model.";
constexpr absl::string_view kA = ".lora_A.weight", kB = ".lora_B.weight";

struct Config {
  int64_t rank = 0;
  double alpha = 0;
  bool use_rslora = false;
  json rank_pattern = json::object(), alpha_pattern = json::object();
};

// Absent, null, false or one of `harmless`: the feature is off.
bool IsOff(const json& config, const char* key, const std::vector<json>& harmless = {}) {
  if (!config.contains(key)) return true;
  const json& value = config[key];
  if (value.is_null() || value == false || (value.is_structured() && value.empty())) return true;
  for (const json& allowed : harmless) {
    if (value == allowed) return true;
  }
  return false;
}

absl::Status CheckFeatures(const json& config) {
  if (config.value("peft_type", json()) != "LORA") {
    return absl::InvalidArgumentError("peft_type: only LORA adapters can be read");
  }
  for (const char* key : {"use_dora", "fan_in_fan_out", "lora_bias", "layer_replication",
                          "trainable_token_indices", "target_parameters"}) {
    if (!IsOff(config, key)) {
      return absl::InvalidArgumentError(absl::StrCat(key, ": not supported"));
    }
  }
  if (!IsOff(config, "bias", {"none"})) {
    return absl::InvalidArgumentError("bias: only \"none\": trained biases are not supported");
  }
  // PEFT's other initialisations change the weights that the adapter is relative to.
  if (!IsOff(config, "init_lora_weights", {true, "gaussian", "eva", "orthogonal"})) {
    const json& init = config["init_lora_weights"];
    return absl::InvalidArgumentError(absl::StrCat(
        "init_lora_weights: ", init.dump(),
        ": such an adapter is relative to a base that was changed with it",
        init == "loftq" ? " and that this file does not hold"
                        : "; save it with PEFT's path_initial_model_for_weight_conversion, which "
                          "makes it one of the original base"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Config> ParseConfig(const std::string& text) {
  const json config = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::DataLossError("not a JSON object");
  RETURN_IF_ERROR(CheckFeatures(config));
  const json rank = config.value("r", json()), alpha = config.value("lora_alpha", json());
  if (!rank.is_number_integer() || rank.get<int64_t>() < 1 || !alpha.is_number() ||
      !std::isfinite(alpha.get<double>())) {
    return absl::DataLossError("needs a whole r above 0 and a number lora_alpha");
  }
  Config result{.rank = rank.get<int64_t>(), .alpha = alpha.get<double>()};
  result.use_rslora = config.value("use_rslora", json(false)) == true;
  for (const auto& [key, patterns] :
       {std::pair<const char*, json*>{"rank_pattern", &result.rank_pattern},
        {"alpha_pattern", &result.alpha_pattern}}) {
    if (IsOff(config, key)) continue;
    if (!config[key].is_object()) return absl::DataLossError(absl::StrCat(key, ": not an object"));
    for (const auto& [pattern, value] : config[key].items()) {
      if (!value.is_number() || pattern.size() > kMaxPatternBytes ||
          !RE2(pattern, RE2::Quiet).ok()) {
        return absl::DataLossError(
            absl::StrCat(key, ": \"", pattern, "\": not a regular expression with a number"));
      }
      if (patterns != &result.rank_pattern) continue;
      if (!value.is_number_integer() || value.get<int64_t>() < 1) {
        return absl::DataLossError(
            absl::StrCat(key, ": \"", pattern, "\": ", value.dump(), " is no rank"));
      }
    }
    *patterns = config[key];
  }
  return result;
}

// As PEFT's get_pattern_key.
double PatternValue(const json& patterns, const std::string& module, double otherwise) {
  for (const auto& [pattern, value] : patterns.items()) {
    if (RE2::FullMatch(module, absl::StrCat("(.*\\.)?(", pattern, ")"))) return value.get<double>();
  }
  return otherwise;
}

// Sorts the file's tensors into modules and saved ones.
absl::Status SortTensors(const TensorFile& file, PeftAdapter* adapter) {
  for (const auto& [full, tensor] : file.tensors) {
    absl::string_view name = full;
    if (!absl::ConsumePrefix(&name, kPrefix)) {
      return absl::DataLossError(absl::StrCat(full, ": does not begin with ", kPrefix));
    }
    if (!tensor.is_floating_point() || !tensor.isfinite().all().item<bool>()) {
      return absl::DataLossError(absl::StrCat(full, ": not finite floating point numbers"));
    }
    const at::Tensor value = tensor.to(at::kFloat).contiguous();
    if (absl::ConsumeSuffix(&name, kA)) {
      adapter->modules[std::string(name)].a = value;
    } else if (absl::ConsumeSuffix(&name, kB)) {
      adapter->modules[std::string(name)].b = value;
    } else if (absl::StrContains(name, ".lora_")) {
      return absl::InvalidArgumentError(absl::StrCat(full, ": not supported"));
    } else {
      adapter->saved[std::string(name)] = value;
    }
  }
  return absl::OkStatus();
}

absl::Status Complete(const Config& config, const std::string& name, PeftAdapter::Module* module) {
  if (!module->a.defined() || !module->b.defined()) {
    return absl::DataLossError(absl::StrCat(name, ": lacks lora_A or lora_B"));
  }
  const int64_t rank =
      std::lround(PatternValue(config.rank_pattern, name, static_cast<double>(config.rank)));
  if (module->a.dim() != 2 || module->b.dim() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(name,
                     ": lora_A and lora_B are no matrices: adapters of convolutions are not "
                     "supported"));
  }
  if (module->a.size(0) != rank || module->b.size(1) != rank) {
    return absl::DataLossError(
        absl::StrCat(name, ": lora_A and lora_B are not of rank ", rank, ", as the config says"));
  }
  module->alpha = PatternValue(config.alpha_pattern, name, config.alpha);
  module->scaling = LoraScaling(module->alpha, rank, config.use_rslora);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PeftAdapter> ReadPeftAdapter(const std::string& directory) {
  const std::string config_path = JoinPath(directory, kAdapterConfigFile);
  const std::string tensors_path = JoinPath(directory, kAdapterFile);
  ASSIGN_OR_RETURN(const std::string text, ReadFile(config_path, kMaxConfigBytes));
  const absl::StatusOr<Config> config = ParseConfig(text);
  if (!config.ok()) return Annotate(config.status(), config_path);
  ASSIGN_OR_RETURN(const TensorFile file, ReadTensorFile(tensors_path));
  PeftAdapter adapter;
  adapter.use_rslora = config->use_rslora;
  RETURN_IF_ERROR(Annotate(SortTensors(file, &adapter), tensors_path));
  for (auto& [name, module] : adapter.modules) {
    RETURN_IF_ERROR(Annotate(Complete(*config, name, &module), tensors_path));
  }
  if (adapter.modules.empty()) {
    return absl::DataLossError(absl::StrCat(tensors_path, ": holds no lora_A and lora_B"));
  }
  return adapter;
}

absl::Status MergeAdapter(const PeftAdapter& adapter, TensorFile* weights) {
  for (auto& [name, tensor] : weights->tensors) {
    if (tensor.is_floating_point()) tensor = tensor.to(at::kFloat);
  }
  for (const auto& [name, module] : adapter.modules) {
    const auto it = weights->tensors.find(name + ".weight");
    if (it == weights->tensors.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": adapted, but the weights have no such module"));
    }
    at::Tensor& weight = it->second;
    if (weight.dim() != 2 || !weight.is_floating_point() || weight.size(0) != module.b.size(0) ||
        weight.size(1) != module.a.size(1)) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": the adapter is for a matrix of ",
                                                     module.b.size(0), " x ", module.a.size(1),
                                                     ", which the weights do not have"));
    }
    const at::Tensor delta =
        at::matmul(module.b.to(at::kDouble), module.a.to(at::kDouble)) * module.scaling;
    weight = (weight.to(at::kDouble) + delta).to(at::kFloat);
  }
  for (const auto& [name, value] : adapter.saved) {
    at::Tensor& tensor = weights->tensors[name];
    // A head may be for other classes.
    const bool fits = !tensor.defined() || tensor.sizes() == value.sizes() ||
                      (absl::StartsWith(name, "head.") && tensor.dim() == value.dim() &&
                       tensor.sizes().slice(1) == value.sizes().slice(1));
    if (!fits) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": saved with the adapter in another shape than the weights'"));
    }
    tensor = value;
  }
  return absl::OkStatus();
}

}  // namespace qsweep::engine
