// DeiT / ViT under timm's names, with a frozen base that may be quantized and LoRA adapters under
// PEFT's names. Forward and backward keep only what cannot be cheaply recomputed: a frozen linear
// never keeps its input, and backward stops at the first trainable parameter.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_VIT_H_
#define QSWEEP_WORKER_ENGINE_MODEL_VIT_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/spec/models.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/base/device.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/model/parameter.h"

namespace qsweep::engine {

// What backward recomputes, beside the norms' outputs and attention's probabilities, which it
// always does. kNone: nothing more; kSelective: qkv (a product of the block's four, an eighth of
// their work, for 6 of 20 bytes); kFull: the block but for attention and fc2, with its input and
// attention's output kept. All three give the same gradients, to the bit.
enum class Checkpointing { kNone, kSelective, kFull };

struct ForwardContext {
  bool training = false;     // dropout on
  int64_t step = 0;          // optimizer step, for the dropout masks
  int64_t first_sample = 0;  // position of images[0] in the effective batch, for the same
  Checkpointing checkpointing = Checkpointing::kNone;
};

struct TrainableParameter {
  std::string name;   // as written in its file: base_model.model.blocks.0.attn.qkv.lora_A.weight
  std::string group;  // for gradient statistics: blocks.0, ..., head, embed
  at::Tensor value;   // fp32, on the model's device
  bool decay = true;  // weight decay applies (not to biases and norms)
};

class Vit {
 public:
  struct Options {
    // Of the matrix products: fp32 or bf16, off the CPU fp16 as well.
    at::ScalarType compute = at::kFloat;
    int64_t classes = 0;  // of the dataset: the head's
    at::Device device = ComputeDevice();
  };

  // `spec` is complete. `weights` (timm names) may be null: random initialisation from spec.seed.
  // The head is taken from the weights when its shape fits `classes`; else it is initialised anew
  // (weights ~ N(0, 0.02²) from the seed, bias 0). pos_embed is interpolated (bicubic) to the image
  // size. InvalidArgument lists every name or shape that does not fit; and when no layer was
  // quantized though bits > 0, or a pattern of lora.target_modules or quantization.skip_modules
  // matched nothing.
  static absl::StatusOr<std::unique_ptr<Vit>> Create(const v1::ExperimentSpec& spec,
                                                     const ModelShape& shape,
                                                     const Options& options,
                                                     const TensorFile* weights);
  ~Vit();

  // images fp32, or of the type computed in, [B, 3, S, S] -> logits fp32 [B, classes], both on the
  // CPU. This and AddGradients may run in several threads at once, on the CPU. Both throw
  // OutOfMemory.
  at::Tensor Forward(const at::Tensor& images, const ForwardContext& context) const;
  // The same with its backward pass: `loss` is given the logits and returns its gradient in them;
  // that in the parameters is added to `gradients`, on the model's device, in the order of
  // trainable().
  using LossGradient = std::function<at::Tensor(const at::Tensor& logits)>;
  void AddGradients(const at::Tensor& images, const ForwardContext& context,
                    const LossGradient& loss, Gradients& gradients) const;

  at::ScalarType compute() const;
  at::Device device() const;
  const std::vector<TrainableParameter>& trainable() const;  // on the device
  // Modules that got an adapter, as "blocks.0.attn.qkv", in order.
  const std::vector<std::string>& adapted_modules() const;
  int64_t tokens() const;            // of an image: its patches and the cls token
  int64_t total_parameters() const;  // base and head, adapters not counted
  int64_t trainable_parameters() const;
  // Everything but compute_dtype_asked; layers, bytes, bits per weight, error per layer.
  const v1::QuantizationFacts& quantization() const;

  // The adapters that changed their module's weight next to nothing: by less than 1e-3 of the
  // median adapter's change, in the Frobenius norm.
  std::vector<std::string> DeadAdapters() const;

  // Under training.quantization_aware: makes the weights that passes use from the adapters as they
  // are. To be called when these have changed, and not while a pass runs.
  void Requantize();

  // Every weight in fp32 under timm's names, as the model holds it (quantized ones expanded),
  // adapters merged. On the CPU, as is the product.
  TensorFile Merged() const;

  // What the method's product file holds: PEFT's names for lora (adapters and head), timm's for
  // full (every weight) and for linear_probe (head.weight, head.bias). fp32; shares the memory of a
  // model on the CPU, for at a run's end there may be no more.
  TensorFile Product() const;
  // adapter_config.json as PEFT writes it. An adapter that began as pissa's is written as one of
  // the original weights, W + s (B A − B0 A0), which has twice the rank (PEFT does the same when it
  // is given path_initial_model_for_weight_conversion).
  std::string PeftConfigJson(const std::string& base_model) const;

 private:
  struct Impl;
  explicit Vit(std::unique_ptr<Impl> impl);
  bool FromPissa() const;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_VIT_H_
