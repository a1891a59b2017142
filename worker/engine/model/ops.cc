#include "worker/engine/model/ops.h"

#include <array>
#include <cmath>

namespace qsweep::engine {

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                     double eps, at::ScalarType type, NormSaved* saved) {
  const at::Tensor centred = x - x.mean(-1, true);
  const at::Tensor rstd = (centred.square().mean(-1, true) + eps).rsqrt();
  const NormSaved made = {(centred * rstd).to(type), rstd.squeeze(-1)};
  if (saved != nullptr) *saved = made;
  return LayerNormOutput(made, gamma, beta);
}

at::Tensor LayerNormOutput(const NormSaved& saved, const at::Tensor& gamma,
                           const at::Tensor& beta) {
  return (saved.xhat.to(at::kFloat) * gamma + beta).to(saved.xhat.scalar_type());
}

StreamGradient LayerNormBackward(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& gamma, const at::Tensor& add) {
  const at::Tensor g = dy.to(at::kFloat) * gamma;
  const at::Tensor xhat = saved.xhat.to(at::kFloat);
  at::Tensor dx =
      (g - g.mean(-1, true) - xhat * (g * xhat).mean(-1, true)) * saved.rstd.unsqueeze(-1);
  if (add.defined()) dx += add;
  return {dx, dx.to(dy.scalar_type())};
}

at::Tensor Gelu(const at::Tensor& u, bool keep_derivative) {
  const at::Tensor x = u.to(at::kFloat);
  const at::Tensor cdf = 0.5 * (1 + at::erf(x * M_SQRT1_2));
  const at::Tensor g = (x * cdf).to(u.scalar_type());
  if (keep_derivative) u.copy_(cdf + x * at::exp(-0.5 * x * x) * (M_2_SQRTPI * M_SQRT1_2 / 2));
  return g;
}

at::Tensor Attention(const at::Tensor& qkv, int64_t heads, int64_t queries, at::Tensor* lse) {
  const int64_t images = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / 3;
  const auto parts = qkv.to(at::kFloat)
                         .view({images, tokens, 3, heads, dim / heads})
                         .permute({2, 0, 3, 1, 4})
                         .unbind(0);
  const at::Tensor scores = at::matmul(parts[0].slice(2, 0, queries), parts[1].transpose(-2, -1)) /
                            std::sqrt(static_cast<double>(dim / heads));
  const at::Tensor total = at::logsumexp(scores, -1, true);
  if (lse != nullptr) *lse = total.squeeze(-1);
  return at::matmul(at::exp(scores - total), parts[2])
      .transpose(1, 2)
      .reshape({images, queries, dim})
      .to(qkv.scalar_type());
}

at::Tensor AttentionBackward(const at::Tensor& qkv, int64_t heads, const at::Tensor& o,
                             const at::Tensor& lse, const at::Tensor& d_o) {
  const int64_t images = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / 3;
  const int64_t queries = o.size(1), d = dim / heads;
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const auto parts =
      qkv.to(at::kFloat).view({images, tokens, 3, heads, d}).permute({2, 0, 3, 1, 4}).unbind(0);
  const auto split = [&](const at::Tensor& t) {
    return t.to(at::kFloat).view({images, queries, heads, d}).transpose(1, 2);
  };
  const at::Tensor q = parts[0].slice(2, 0, queries);
  const at::Tensor p =
      at::exp(at::matmul(q, parts[1].transpose(-2, -1)) * scale - lse.unsqueeze(-1));
  const at::Tensor dp = at::matmul(split(d_o), parts[2].transpose(-2, -1));
  const at::Tensor delta = (split(d_o) * split(o)).sum(-1, true);
  const at::Tensor ds = p * (dp - delta) * scale;
  at::Tensor dqkv = at::zeros({3, images, heads, tokens, d}, at::kFloat);
  dqkv[0].slice(2, 0, queries).copy_(at::matmul(ds, parts[1]));
  dqkv[1].copy_(at::matmul(ds.transpose(-2, -1), q));
  dqkv[2].copy_(at::matmul(p.transpose(-2, -1), split(d_o)));
  return dqkv.permute({1, 3, 0, 2, 4}).reshape(qkv.sizes()).to(qkv.scalar_type());
}

namespace {

at::Tensor MaskTensor(const at::Tensor& x, const DropoutMask& mask) {
  at::Tensor kept = at::empty(x.sizes(), at::kFloat);
  float* out = kept.data_ptr<float>();
  const int64_t elements = mask.rows_per_sample * x.size(1);
  for (int64_t s = 0; s < x.size(0) / mask.rows_per_sample; ++s) {
    for (int64_t e = 0; e < elements; ++e) {
      const uint32_t group = e / 128, word = e / 32 % 4, half = e / 16 % 2, lane = e % 16;
      const std::array<uint32_t, 4> words = Philox(
          mask.key, {16 * group + lane, static_cast<uint32_t>(mask.first_sample + s),
                     static_cast<uint32_t>(mask.step), static_cast<uint32_t>(mask.step >> 32)});
      const uint32_t bits = words[word] >> (16 * half) & 0xffff;
      out[s * elements + e] = bits < mask.threshold ? 0 : mask.scale();
    }
  }
  return kept;
}

}  // namespace

at::Tensor Dropout(const at::Tensor& x, const DropoutMask& mask) {
  return (x.to(at::kFloat) * MaskTensor(x, mask)).to(x.scalar_type());
}

void DropoutAdd(const at::Tensor& x, const DropoutMask& mask, const at::Tensor& to) {
  to.add_((x.to(at::kFloat) * MaskTensor(x, mask)).to(to.scalar_type()));
}

}  // namespace qsweep::engine
