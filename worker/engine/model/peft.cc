#include "worker/engine/model/peft.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace qsweep::engine {
std::string PeftConfigJson(const v1::Lora& lora, const std::vector<std::string>& modules,
                           const std::string& base_model) {
  nlohmann::ordered_json json = {
      {"auto_mapping", nullptr},
      {"base_model_name_or_path", base_model},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"init_lora_weights", true},
      {"layers_pattern", nullptr},
      {"layers_to_transform", nullptr},
      {"lora_alpha", lora.alpha()},
      {"lora_dropout", lora.dropout()},
      {"modules_to_save", {"head"}},
      {"peft_type", "LORA"},
      {"r", lora.rank()},
      {"revision", nullptr},
      {"target_modules", modules},
      {"task_type", nullptr},
      {"use_rslora", lora.use_rslora()},
  };
  if (lora.alpha() == std::floor(lora.alpha())) {
    json["lora_alpha"] = static_cast<int64_t>(lora.alpha());
  }
  return json.dump(2) + "\n";
}

}  // namespace qsweep::engine
