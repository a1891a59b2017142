#include "worker/engine/model/block.h"

#include <utility>

namespace qsweep::engine {

at::Tensor Norm::Forward(const at::Tensor& x, at::ScalarType type, NormSaved* saved) const {
  return LayerNorm(x, gamma.value, beta.value, eps, type, saved);
}

StreamGradient Norm::Backward(const at::Tensor& dy, const NormSaved& saved, const at::Tensor& add,
                              bool wants_input, Gradients& gradients) const {
  if (trains()) {
    LayerNormParameterGradients(dy, saved, gradients.Of(gamma), gradients.Of(beta));
  }
  if (!wants_input) return {};
  return LayerNormBackward(dy, saved, gamma.value, add);
}

bool Block::trains() const {
  return norm1.trains() || norm2.trains() || qkv.trains() || proj.trains() || fc1.trains() ||
         fc2.trains();
}

namespace {

Position PositionAfterAttention(Position position, bool cls_only) {
  if (cls_only) position.rows_per_sample = 1;
  return position;
}

// [images * tokens, dim] -> the cls tokens, [images, dim].
at::Tensor ClsRows(const at::Tensor& x, int64_t tokens) {
  return x.view({-1, tokens, x.size(1)}).select(1, 0);
}

}  // namespace

at::Tensor Block::ForwardToFc2(const at::Tensor& x, const Position& position, BlockSaved* saved,
                               at::Tensor* hidden, Workspace& workspace) const {
  BlockSaved* const kept =
      saved != nullptr && saved->checkpointing != Checkpointing::kFull ? saved : nullptr;
  const int64_t tokens = position.rows_per_sample, images = x.size(0) / tokens;
  const int64_t queries = cls_only ? 1 : tokens;
  const at::ScalarType type = qkv.compute;

  at::Tensor normed = norm1.Forward(x, type, kept ? &kept->norm1 : nullptr);
  at::Tensor qkv_rows =
      qkv.Forward(normed, position, saved ? &saved->lora_qkv : nullptr, workspace);
  normed = at::Tensor();
  qkv_rows = qkv_rows.view({images, tokens, -1});
  at::Tensor attended;
  if (saved != nullptr) attended = saved->attended;
  if (!attended.defined()) {
    attended = Attention(qkv_rows, heads, queries, saved ? &saved->softmax : nullptr);
  }
  if (saved != nullptr) saved->attended = attended;
  if (kept && kept->checkpointing == Checkpointing::kNone) kept->qkv = qkv_rows;
  qkv_rows = at::Tensor();
  const Position after = PositionAfterAttention(position, cls_only);
  const at::Tensor below = cls_only ? ClsRows(x, tokens).contiguous() : x;
  const at::Tensor stream = at::empty_like(below);
  proj.ForwardAdd(attended.view({images * queries, -1}), after, below, stream,
                  saved ? &saved->lora_proj : nullptr, workspace);

  normed = norm2.Forward(stream, type, kept ? &kept->norm2 : nullptr);
  const at::Tensor u = fc1.Forward(normed, after, saved ? &saved->lora_fc1 : nullptr, workspace);
  *hidden = Gelu(u, kept != nullptr);
  if (kept) {
    kept->gelu_derivative = u;
    if (fc2.trains()) kept->hidden = *hidden;
  }
  return stream;
}

at::Tensor Block::Forward(const at::Tensor& x, const Position& position,
                          Checkpointing checkpointing, BlockSaved* saved,
                          Workspace& workspace) const {
  if (saved != nullptr) {
    saved->checkpointing = checkpointing;
    saved->position = position;
    if (checkpointing == Checkpointing::kFull) saved->x = x;
  }
  at::Tensor hidden;
  const at::Tensor stream = ForwardToFc2(x, position, saved, &hidden, workspace);
  fc2.ForwardAdd(hidden, PositionAfterAttention(position, cls_only), stream, stream,
                 saved ? &saved->lora_fc2 : nullptr, workspace);
  return stream;
}

// Not attention and the adapters' hidden rows, which are kept, nor fc2's product, whose output
// backward does not need.
BlockSaved Block::Recompute(BlockSaved saved, Workspace& workspace) const {
  const at::Tensor x = std::exchange(saved.x, {});
  saved.checkpointing = Checkpointing::kNone;
  at::Tensor hidden;
  ForwardToFc2(x, saved.position, &saved, &hidden, workspace);
  return saved;
}

StreamGradient Block::Backward(const StreamGradient& dy, BlockSaved saved, bool wants_input,
                               Gradients& gradients, Workspace& workspace) const {
  if (saved.checkpointing == Checkpointing::kFull) saved = Recompute(std::move(saved), workspace);
  const bool wants_attention = wants_input || norm1.trains() || qkv.trains() || proj.trains();
  const StreamGradient dx1 = BackwardMlp(dy, saved, wants_attention, gradients, workspace);
  if (!wants_attention) return {};
  return BackwardAttention(dx1, saved, wants_input, gradients, workspace);
}

StreamGradient Block::BackwardMlp(const StreamGradient& dy, BlockSaved& saved, bool wants_input,
                                  Gradients& gradients, Workspace& workspace) const {
  const Position position = PositionAfterAttention(saved.position, cls_only);
  const bool wants_norm = wants_input || norm2.trains();
  const bool wants_fc1 = wants_norm || fc1.trains();
  at::Tensor normed;
  if (fc1.trains()) normed = LayerNormOutput(saved.norm2, norm2.gamma.value, norm2.beta.value);
  const at::Tensor du = fc2.Backward(dy.narrow, saved.hidden, position, saved.lora_fc2, wants_fc1,
                                     saved.gelu_derivative, gradients, workspace);
  saved.hidden = saved.gelu_derivative = at::Tensor();
  if (!wants_fc1) return {};
  const at::Tensor d_normed =
      fc1.Backward(du, normed, position, saved.lora_fc1, wants_norm, {}, gradients, workspace);
  if (!wants_norm) return {};
  return norm2.Backward(d_normed, saved.norm2, dy.wide, wants_input, gradients);
}

StreamGradient Block::BackwardAttention(const StreamGradient& dy, BlockSaved& saved,
                                        bool wants_input, Gradients& gradients,
                                        Workspace& workspace) const {
  const Position& position = saved.position;
  const bool wants_norm = wants_input || norm1.trains();
  const bool wants_qkv = wants_norm || qkv.trains();
  const at::Tensor attended_rows = saved.attended.view({dy.narrow.size(0), -1});
  const at::Tensor d_attended =
      proj.Backward(dy.narrow, attended_rows, PositionAfterAttention(position, cls_only),
                    saved.lora_proj, wants_qkv, {}, gradients, workspace);
  if (!wants_qkv) return {};
  at::Tensor normed;
  if (qkv.trains() || !saved.qkv.defined()) {
    normed = LayerNormOutput(saved.norm1, norm1.gamma.value, norm1.beta.value);
  }
  if (!saved.qkv.defined()) {
    saved.qkv = qkv.Forward(normed, position, &saved.lora_qkv, workspace)
                    .view({-1, position.rows_per_sample, 3 * saved.attended.size(2)});
  }
  at::Tensor d_qkv = AttentionBackward(saved.qkv, heads, saved.attended, saved.softmax,
                                       d_attended.view(saved.attended.sizes()));
  saved.qkv = saved.attended = saved.softmax = at::Tensor();
  const at::Tensor d_normed = qkv.Backward(d_qkv.view({-1, d_qkv.size(2)}), normed, position,
                                           saved.lora_qkv, wants_norm, {}, gradients, workspace);
  if (!wants_norm) return {};
  if (!cls_only) return norm1.Backward(d_normed, saved.norm1, dy.wide, wants_input, gradients);
  // The stream below has every token, its gradient from above only the cls tokens.
  const StreamGradient dx = norm1.Backward(d_normed, saved.norm1, {}, wants_input, gradients);
  if (!wants_input) return {};
  const at::Tensor cls = ClsRows(dx.wide, position.rows_per_sample);
  cls.add_(dy.wide);
  if (!dx.narrow.is_same(dx.wide)) ClsRows(dx.narrow, position.rows_per_sample).copy_(cls);
  return dx;
}

}  // namespace qsweep::engine
