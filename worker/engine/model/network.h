// The Vision Transformer as a computation: embedding, blocks, head, and their backward pass.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_NETWORK_H_
#define QSWEEP_WORKER_ENGINE_MODEL_NETWORK_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "worker/engine/model/block.h"
#include "worker/engine/model/linear.h"
#include "worker/engine/model/parameter.h"
#include "worker/engine/model/vit.h"

namespace qsweep::engine {

// What a forward pass leaves for the backward pass.
struct NetworkSaved {
  int64_t images = 0;
  at::Tensor patches;              // only when the embedding trains
  std::vector<BlockSaved> blocks;  // from the first that takes part in the backward pass
  NormSaved norm;
  at::Tensor features;  // the head's input: fp32 [images, dim]
};

struct Network {
  int64_t image_size = 0, patch_size = 0;
  at::ScalarType compute = at::kFloat;
  Linear patch_embed;              // of patches laid out as channel, row, column
  Parameter cls_token, pos_embed;  // [1, 1, dim], [1, tokens, dim]
  std::vector<Block> blocks;
  Norm norm;
  Linear head;  // fp32

  int64_t tokens() const { return pos_embed.value.size(1); }
  bool TrainsEmbedding() const { return pos_embed.trains(); }
  // The backward pass ends here: the first block with something to train, or blocks.size().
  size_t FirstBlock() const;

  // images fp32 or of the compute type, [B, 3, S, S] -> logits fp32 [B, classes]. `saved` is null
  // when no backward pass will come.
  at::Tensor Forward(const at::Tensor& images, const ForwardContext& context, NetworkSaved* saved,
                     Workspace& workspace) const;
  void Backward(const at::Tensor& d_logits, NetworkSaved saved, Gradients& gradients,
                Workspace& workspace) const;

 private:
  at::Tensor Patches(const at::Tensor& images) const;
  at::Tensor Embed(const at::Tensor& patches, int64_t images, Workspace& workspace) const;
  void BackwardEmbedding(const StreamGradient& dx, const NetworkSaved& saved, Gradients& gradients,
                         Workspace& workspace) const;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_NETWORK_H_
