// A linear module y = x Wᵀ + b of the base, frozen (in few bits, or in the compute type) or
// trainable, with or without a LoRA adapter: y += s · dropout(x) Aᵀ Bᵀ (arXiv 2106.09685,
// section 4.1), s = alpha / r or alpha / sqrt(r) (arXiv 2312.03732).
#ifndef QSWEEP_WORKER_ENGINE_MODEL_LINEAR_H_
#define QSWEEP_WORKER_ENGINE_MODEL_LINEAR_H_

#include <ATen/ATen.h>

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
  explicit Workspace(at::Device device) : device_(device) {}
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  at::Tensor Panel(int64_t rows, int64_t columns, at::ScalarType type);

 private:
  at::Device device_;
  at::Tensor bytes_;
};

// Where in the run a pass stands, for the dropout masks.
struct Position {
  bool training = false;
  int64_t step = 0;
  int64_t first_sample = 0;
  int64_t rows_per_sample = 1;
};

// Training for quantization: what `dense` is made from, W + s B A, quantized and expanded.
struct Requantized {
  at::Tensor base;        // W, fp32
  at::Tensor importance;  // of its columns, on the CPU, or undefined
  v1::Quantization spec;
};

struct LoraAdapter {
  Parameter a;  // [rank, in]
  Parameter b;  // [out, rank]
  double scaling = 1;
  // The adapter is in `dense` already: it adds nothing to y or dL/dx. The gradients of A and B are
  // those of an adapter beside the weight, for the quantization's gradient is passed straight
  // through (arXiv 1308.3432): with G = dyᵀ x, dB = s G Aᵀ and dA = s Bᵀ G.
  std::optional<Requantized> requantized;
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
  bool int8_products = false;                // of `quantized`: int8_matmul.h, not dequantized
  double int8_threshold = 0;
  Parameter weight;  // trainable, fp32
  Parameter bias;    // [out], trainable with the weight
  std::optional<LoraAdapter> lora;

  int64_t out_features() const { return bias.value.size(0); }
  int64_t in_features() const;
  // fp32 [out, in]: the frozen weight as it is held, or the trained one; and the adapter's s B A.
  at::Tensor Merged() const;
  // Makes `dense` anew from the adapter as it is now; nothing without lora->requantized.
  void Requantize();
  bool trains() const { return weight.trains() || lora.has_value(); }

  // x [rows, in] in the compute type -> y [rows, out] in the compute type.
  at::Tensor Forward(const at::Tensor& x, const Position& position, at::Tensor* lora_hidden,
                     Workspace& workspace) const;
  // The same, with `add` added: fp32 [rows, out], as is y, which may be `add`. `lora_hidden` (may
  // be null) gets dropout(x) Aᵀ, which backward needs, or has it already; it stays undefined
  // without an adapter.
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
  at::Tensor LoraHidden(const at::Tensor& x, const Position& position) const;
  void BackwardWeight(const at::Tensor& dy, const Factors& more, const at::Tensor& multiply,
                      const at::Tensor& dx, Workspace& workspace) const;
  at::Tensor BackwardLora(const at::Tensor& dy, const at::Tensor& x, const Position& position,
                          const at::Tensor& lora_hidden, Gradients& gradients) const;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_LINEAR_H_
