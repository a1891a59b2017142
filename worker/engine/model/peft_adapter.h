// An adapter in PEFT's format, as PEFT or this engine wrote it: adapter_config.json and
// adapter_model.safetensors. (PEFT: src/peft/tuners/lora/{config,model}.py, utils/save_and_load.py)
#ifndef QSWEEP_WORKER_ENGINE_MODEL_PEFT_ADAPTER_H_
#define QSWEEP_WORKER_ENGINE_MODEL_PEFT_ADAPTER_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/base/safetensors.h"

namespace qsweep::engine {

struct PeftAdapter {
  struct Module {
    at::Tensor a;  // fp32 [rank, in]
    at::Tensor b;  // fp32 [out, rank]
    double alpha = 0;
    double scaling = 0;  // alpha / rank, or alpha / sqrt(rank) with use_rslora
    int64_t rank() const { return a.size(0); }
  };
  std::map<std::string, Module> modules;    // by timm name: blocks.0.attn.qkv
  std::map<std::string, at::Tensor> saved;  // fp32, of modules_to_save: head.weight, head.bias
  bool use_rslora = false;
};

// Everything in the directory is checked: InvalidArgument names the file and the key for what is
// another kind of adapter (not LoRA, DoRA, trained biases, an initialisation that changed the
// base), DataLoss for what does not fit together.
absl::StatusOr<PeftAdapter> ReadPeftAdapter(const std::string& directory);

// Adds scaling · B A to each adapted weight, in double, rounded once to fp32; saved tensors replace
// the file's. InvalidArgument if the weights lack a module or have another shape.
absl::Status MergeAdapter(const PeftAdapter& adapter, TensorFile* weights);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_PEFT_ADAPTER_H_
