#include "worker/engine/model/peft.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace qsweep::engine {
namespace {

using nlohmann::ordered_json;

ordered_json Number(double value) {
  if (value == std::floor(value)) return static_cast<int64_t>(value);
  return value;
}

}  // namespace

std::string PeftConfigJson(const v1::Lora& lora, const std::vector<AdaptedModule>& modules,
                           const std::vector<std::string>& modules_to_save,
                           const std::string& base_model) {
  const AdaptedModule& first = modules.front();
  std::vector<std::string> names;
  ordered_json ranks = ordered_json::object(), alphas = ordered_json::object();
  for (const AdaptedModule& module : modules) {
    names.push_back(module.name);
    // Plain names: newer versions of PEFT take them for patterns, older ones for names.
    if (module.rank != first.rank) ranks[module.name] = module.rank;
    if (module.alpha != first.alpha) alphas[module.name] = Number(module.alpha);
  }
  const ordered_json json = {
      {"alpha_pattern", alphas},
      {"auto_mapping", nullptr},
      {"base_model_name_or_path", base_model},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      // Whatever it began with, it belongs to the weights it was trained on: the original ones, or
      // these quantized.
      {"init_lora_weights", true},
      {"layers_pattern", nullptr},
      {"layers_to_transform", nullptr},
      {"lora_alpha", Number(first.alpha)},
      {"lora_dropout", lora.dropout()},
      {"modules_to_save", modules_to_save},
      {"peft_type", "LORA"},
      {"r", first.rank},
      {"rank_pattern", ranks},
      {"revision", nullptr},
      {"target_modules", names},
      {"task_type", nullptr},
      {"use_rslora", lora.use_rslora()},
  };
  return json.dump(2) + "\n";
}

}  // namespace qsweep::engine
