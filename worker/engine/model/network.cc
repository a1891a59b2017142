#include "worker/engine/model/network.h"

#include <utility>

namespace qsweep::engine {

size_t Network::FirstBlock() const {
  size_t first = 0;
  if (TrainsEmbedding()) return first;
  while (first < blocks.size() && !blocks[first].trains()) ++first;
  return first;
}

// [B, 3, S, S] -> [B * patches, 3 * p * p] in the compute type.
at::Tensor Network::Patches(const at::Tensor& images) const {
  const int64_t grid = image_size / patch_size;
  const at::Tensor view =
      images.view({-1, 3, grid, patch_size, grid, patch_size}).permute({0, 2, 4, 1, 3, 5});
  const at::Tensor patches = at::empty(view.sizes(), view.options().dtype(compute));
  patches.copy_(view);
  return patches.view({images.size(0) * grid * grid, -1});
}

at::Tensor Network::Embed(const at::Tensor& patches, int64_t images, Workspace& workspace) const {
  const int64_t dim = pos_embed.value.size(2);
  const at::Tensor x = at::empty({images, tokens(), dim}, pos_embed.value.options());
  const at::Tensor embedded = patch_embed.Forward(patches, {}, nullptr, workspace);
  x.select(1, 0).copy_((cls_token.value + pos_embed.value.slice(1, 0, 1)).view({1, dim}));
  at::Tensor rest = x.slice(1, 1);
  at::add_out(rest, embedded.view({images, tokens() - 1, dim}), pos_embed.value.slice(1, 1));
  return x.view({images * tokens(), dim});
}

at::Tensor Network::Forward(const at::Tensor& images, const ForwardContext& context,
                            NetworkSaved* saved, Workspace& workspace) const {
  const Position position{context.training, context.step, context.first_sample, tokens()};
  at::Tensor patches = Patches(images);
  at::Tensor x = Embed(patches, images.size(0), workspace);
  if (saved != nullptr) {
    saved->images = images.size(0);
    if (TrainsEmbedding()) saved->patches = patches;
  }
  patches = at::Tensor();
  const size_t first = FirstBlock();
  for (size_t i = 0; i < blocks.size(); ++i) {
    BlockSaved* kept = nullptr;
    if (saved != nullptr && i >= first) kept = &saved->blocks.emplace_back();
    x = blocks[i].Forward(x, position, context.checkpointing, kept, workspace);
  }
  const at::Tensor features = norm.Forward(x, at::kFloat, saved ? &saved->norm : nullptr);
  if (saved != nullptr) saved->features = features;
  return head.Forward(features, {}, nullptr, workspace);
}

void Network::Backward(const at::Tensor& d_logits, NetworkSaved saved, Gradients& gradients,
                       Workspace& workspace) const {
  const size_t first = FirstBlock();
  const bool wants_blocks = first < blocks.size();
  const at::Tensor d_features =
      head.Backward(d_logits, saved.features, {}, {}, wants_blocks, {}, gradients, workspace);
  if (!wants_blocks) return;
  StreamGradient dx = norm.Backward(d_features, saved.norm, {}, true, gradients);
  dx.narrow = dx.wide.to(compute);
  for (size_t i = blocks.size(); i-- > first;) {
    const bool wants_input = i > first || TrainsEmbedding();
    BlockSaved kept = std::move(saved.blocks.back());
    saved.blocks.pop_back();
    dx = blocks[i].Backward(dx, std::move(kept), wants_input, gradients, workspace);
  }
  if (TrainsEmbedding()) BackwardEmbedding(dx, saved, gradients, workspace);
}

void Network::BackwardEmbedding(const StreamGradient& dx, const NetworkSaved& saved,
                                Gradients& gradients, Workspace& workspace) const {
  const int64_t dim = pos_embed.value.size(2);
  const at::Tensor d_pos = dx.wide.view({saved.images, tokens(), dim}).sum(0, true);
  gradients.Of(pos_embed).add_(d_pos);
  gradients.Of(cls_token).add_(d_pos.slice(1, 0, 1));
  const at::Tensor d_patches =
      dx.narrow.view({saved.images, tokens(), dim}).slice(1, 1).reshape({-1, dim});
  patch_embed.Backward(d_patches, saved.patches, {}, {}, false, {}, gradients, workspace);
}

}  // namespace qsweep::engine
