// One transformer block, pre-norm: x1 = x + proj(attention(qkv(norm1(x)))), y = x1 +
// fc2(gelu(fc1(norm2(x1)))). The residual stream is fp32, the rest the compute type.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_BLOCK_H_
#define QSWEEP_WORKER_ENGINE_MODEL_BLOCK_H_

#include <ATen/ATen.h>

#include <cstdint>

#include "worker/engine/model/linear.h"
#include "worker/engine/model/ops.h"
#include "worker/engine/model/parameter.h"
#include "worker/engine/model/vit.h"

namespace qsweep::engine {

struct Norm {
  Parameter gamma, beta;
  double eps = 1e-6;
  bool trains() const { return gamma.trains(); }
  at::Tensor Forward(const at::Tensor& x, at::ScalarType type, NormSaved* saved) const;
  // Gradients of γ and β, if they train, then LayerNormBackward; nothing unless `wants_input`.
  StreamGradient Backward(const at::Tensor& dy, const NormSaved& saved, const at::Tensor& add,
                          bool wants_input, Gradients& gradients) const;
};

// What a forward pass leaves for the backward pass of one block: bytes per token in terms of the
// width D, in bf16: 20 D (kNone), 14 D (kSelective) or 6 D (kFull), and the adapters' hidden rows.
struct BlockSaved {
  Checkpointing checkpointing = Checkpointing::kNone;
  Position position;
  at::Tensor x;  // kFull only
  NormSaved norm1, norm2;
  at::Tensor qkv;                      // kNone only
  at::Tensor hidden, gelu_derivative;  // not kFull; `hidden` only when fc2 trains
  at::Tensor attended, softmax;
  at::Tensor lora_qkv, lora_proj, lora_fc1, lora_fc2;
};

class Block {
 public:
  Norm norm1, norm2;
  Linear qkv, proj, fc1, fc2;
  int64_t heads = 1;
  // The last block: what follows reads the cls token only, so nothing else is computed past the
  // attention.
  bool cls_only = false;

  bool trains() const;

  // x fp32 [images * tokens, dim] -> the same, or [images, dim] when cls_only. `saved` is null when
  // no backward pass will come.
  at::Tensor Forward(const at::Tensor& x, const Position& position, Checkpointing checkpointing,
                     BlockSaved* saved, Workspace& workspace) const;

  // dy is the gradient of Forward's result. Returns that of x, or nothing unless `wants_input`:
  // then the pass ends at the first module that trains. Spends `saved`.
  StreamGradient Backward(const StreamGradient& dy, BlockSaved saved, bool wants_input,
                          Gradients& gradients, Workspace& workspace) const;

 private:
  // All that comes before fc2: gives its input and returns the stream, to which its output is
  // added. `saved` (may be null) gets what its checkpointing keeps; attention's output and the
  // adapters' hidden rows, if there already, are not computed.
  at::Tensor ForwardToFc2(const at::Tensor& x, const Position& position, BlockSaved* saved,
                          at::Tensor* hidden, Workspace& workspace) const;
  // What Forward would have kept.
  BlockSaved Recompute(BlockSaved saved, Workspace& workspace) const;
  StreamGradient BackwardMlp(const StreamGradient& dy, BlockSaved& saved, bool wants_input,
                             Gradients& gradients, Workspace& workspace) const;
  StreamGradient BackwardAttention(const StreamGradient& dy, BlockSaved& saved, bool wants_input,
                                   Gradients& gradients, Workspace& workspace) const;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_BLOCK_H_
