// A linear module y = x Wᵀ + b of the base, frozen (in few bits, or in the compute type) or
// trainable, with or without a LoRA adapter: y += s · dropout(x) Aᵀ Bᵀ (arXiv 2106.09685,
// section 4.1), s = alpha / r or alpha / sqrt(r) (arXiv 2312.03732).
#ifndef QSWEEP_WORKER_ENGINE_MODEL_LINEAR_H_
#define QSWEEP_WORKER_ENGINE_MODEL_LINEAR_H_

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <string>

#include "qsweep/v1/spec.pb.h"
#include "worker/engine/model/matmul.h"
#include "worker/engine/model/ops.h"
#include "worker/engine/model/parameter.h"
#include "worker/engine/quant/quantized_weight.h"

namespace qsweep::engine {

// One scratch panel for dequantized weights, shared by all modules of a pass, charged to
// Account::kWorkspace. A view is valid until the next one is asked for.
class Workspace {
 public:
  at::Tensor Panel(int64_t rows, int64_t columns, at::ScalarType type);

 private:
  at::Tensor bytes_;
};

// Where in the run a pass stands, for the dropout masks.
struct Position {
  bool training = false;
  int64_t step = 0;
  int64_t first_sample = 0;
  int64_t rows_per_sample = 1;
};

struct LoraAdapter {
  Parameter a;  // [rank, in]
  Parameter b;  // [out, rank]
  double scaling = 1;
  PhiloxKey dropout_key;
  uint32_t dropout_threshold = 0;
};

class Linear {
 public:
  std::string name;  // "blocks.0.attn.qkv"
  at::ScalarType compute = at::kFloat;
  // One of the three is set.
  at::Tensor dense;                          // frozen, [out, in] in the compute type
  std::optional<QuantizedWeight> quantized;  // frozen
  Parameter weight;                          // trainable, fp32
  Parameter bias;                            // [out], trainable with the weight
  std::optional<LoraAdapter> lora;

  int64_t out_features() const { return bias.value.size(0); }
  bool trains() const { return weight.trains() || lora.has_value(); }

  // x [rows, in] in the compute type -> y [rows, out] in the compute type.
  at::Tensor Forward(const at::Tensor& x, const Position& position, at::Tensor* lora_hidden,
                     Workspace& workspace) const;
  // The same, with `add` added: fp32 [rows, out], as is y, which may be `add`. `lora_hidden` (may
  // be null) gets dropout(x) Aᵀ, for backward.
  void ForwardAdd(const at::Tensor& x, const Position& position, const at::Tensor& add,
                  const at::Tensor& y, at::Tensor* lora_hidden, Workspace& workspace) const;

  // Adds the gradients of what trains here to `gradients`; x is only read when something does.
  // Returns dL/dx (times `multiply` where it is defined) in the compute type, or nothing unless
  // `wants_input`.
  at::Tensor Backward(const at::Tensor& dy, const at::Tensor& x, const Position& position,
                      const at::Tensor& lora_hidden, bool wants_input, const at::Tensor& multiply,
                      Gradients& gradients, Workspace& workspace) const;

 private:
  at::Tensor Weights(Workspace& workspace) const;
  DropoutMask Mask(const Position& position) const;
  at::Tensor ScaledB() const;
  at::Tensor BackwardLora(const at::Tensor& dy, const at::Tensor& x, const Position& position,
                          const at::Tensor& lora_hidden, Gradients& gradients) const;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_LINEAR_H_
