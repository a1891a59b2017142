// The configuration file of an adapter in PEFT's format.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_PEFT_H_
#define QSWEEP_WORKER_ENGINE_MODEL_PEFT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "qsweep/v1/spec.pb.h"

namespace qsweep::engine {

struct AdaptedModule {
  std::string name;
  int64_t rank = 0;
  double alpha = 0;
};

// adapter_config.json of at least one module. Modules are written by full name: PEFT's lists know
// no `*`, and a short name may match more there than was adapted here ("proj" also names the patch
// embedding's). Ranks and alphas other than the first module's are in rank_pattern, alpha_pattern.
std::string PeftConfigJson(const v1::Lora& lora, const std::vector<AdaptedModule>& modules,
                           const std::vector<std::string>& modules_to_save,
                           const std::string& base_model);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_PEFT_H_
