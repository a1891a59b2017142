// For tests: the small model of tests/golden/vit.py, with its weights.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_GOLDEN_VIT_H_
#define QSWEEP_WORKER_ENGINE_MODEL_GOLDEN_VIT_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "common/spec/models.h"
#include "common/spec/spec.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/model/vit.h"

namespace qsweep::engine {

// tests/golden/vit.py's model, and what it found.
inline const ModelShape kShape = {"golden",       32, 8, 32, 2, 2, 4, 5, 1e-6, {0.5, 0.5, 0.5},
                                  {0.5, 0.5, 0.5}};

inline const TensorFile& Golden() {
  static const TensorFile& file =
      *new TensorFile(*ReadTensorFile(QSWEEP_SOURCE_DIR "/tests/golden/vit.safetensors"));
  return file;
}

// The golden tensors under `prefix`, by the rest of their names.
inline TensorFile GoldenPart(const std::string& prefix) {
  TensorFile part;
  for (const auto& [name, tensor] : Golden().tensors) {
    if (name.starts_with(prefix)) part.tensors[name.substr(prefix.size())] = tensor;
  }
  return part;
}

inline v1::ExperimentSpec Spec(const std::string& method) {
  v1::ExperimentSpec spec = DefaultSpec();
  spec.mutable_training()->set_method(method);
  v1::Lora& lora = *spec.mutable_lora();
  lora.set_rank(4);
  lora.set_alpha(8);
  lora.set_dropout(0);
  lora.clear_target_modules();
  for (const char* target : {"qkv", "attn.proj", "blocks.*.mlp.fc1", "fc2"}) {
    lora.add_target_modules(target);
  }
  return spec;
}

inline absl::StatusOr<std::unique_ptr<Vit>> TryMake(const v1::ExperimentSpec& spec,
                                                    at::ScalarType compute,
                                                    const TensorFile& weights) {
  return Vit::Create(spec, kShape, {compute, 5}, &weights);
}

// With the golden weights, adapters included.
inline std::unique_ptr<Vit> Make(const v1::ExperimentSpec& spec,
                                 at::ScalarType compute = at::kFloat) {
  auto vit = TryMake(spec, compute, GoldenPart("base/"));
  EXPECT_TRUE(vit.ok()) << vit.status();
  const std::string prefix = "base_model.model.", suffix = ".weight";
  for (const TrainableParameter& parameter : (*vit)->trainable()) {
    if (parameter.name.find(".lora_") == std::string::npos) continue;
    const std::string name =
        parameter.name.substr(prefix.size(), parameter.name.size() - prefix.size() - suffix.size());
    parameter.value.copy_(Golden().tensors.at("lora/" + name));
  }
  return *std::move(vit);
}

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_GOLDEN_VIT_H_
