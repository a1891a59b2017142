// The configuration file of an adapter in PEFT's format.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_PEFT_H_
#define QSWEEP_WORKER_ENGINE_MODEL_PEFT_H_

#include <string>
#include <vector>

#include "qsweep/v1/spec.pb.h"

namespace qsweep::engine {

// adapter_config.json. `modules` are written by full name: PEFT lists know no `*`, and a short name
// may match more there than was adapted here ("proj" also names the patch embedding's).
std::string PeftConfigJson(const v1::Lora& lora, const std::vector<std::string>& modules,
                           const std::string& base_model);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_PEFT_H_
