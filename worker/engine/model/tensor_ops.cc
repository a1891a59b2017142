#include "worker/engine/model/tensor_ops.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "worker/engine/base/random.h"

namespace qsweep::engine::tensor_ops {
namespace {

constexpr int64_t kLow32 = 0xffffffff;
constexpr double kCodes = 127;

at::Tensor Wide(const at::Tensor& t) { return t.to(at::kFloat); }

}  // namespace

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                     double eps, at::ScalarType type, NormSaved* saved) {
  const auto [xhat, mean, rstd] = at::native_layer_norm(x, {x.size(1)}, {}, {}, eps);
  const NormSaved kept = {xhat.to(type), rstd.view({-1})};
  if (saved != nullptr) *saved = kept;
  return tensor_ops::LayerNormOutput(kept, gamma, beta);
}

at::Tensor LayerNormOutput(const NormSaved& saved, const at::Tensor& gamma,
                           const at::Tensor& beta) {
  return (saved.xhat * gamma + beta).to(saved.xhat.scalar_type());
}

StreamGradient LayerNormBackward(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& gamma, const at::Tensor& add) {
  const at::Tensor g = dy * gamma, xhat = Wide(saved.xhat);
  StreamGradient dx;
  dx.wide = (g - g.mean(1, true) - xhat * (g * xhat).mean(1, true)) * saved.rstd.unsqueeze(1);
  if (add.defined()) dx.wide += add;
  dx.narrow = dx.wide.to(dy.scalar_type());
  return dx;
}

void LayerNormParameterGradients(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& d_gamma, const at::Tensor& d_beta) {
  d_gamma.add_((Wide(dy) * saved.xhat).sum(0));
  d_beta.add_(dy.sum(0, false, at::kFloat));
}

at::Tensor Gelu(const at::Tensor& u, bool keep_derivative) {
  const at::Tensor wide = Wide(u);
  const at::Tensor phi = (at::erf(wide * (1 / std::numbers::sqrt2)) + 1) * 0.5;
  const at::Tensor g = (wide * phi).to(u.scalar_type());
  if (keep_derivative) {
    const double density = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    u.copy_(phi + wide * at::exp(wide.square() * -0.5) * density);
  }
  return g;
}

namespace {

// q, k, v of [images, tokens, 3 * dim] as views [images, heads, tokens, d].
std::vector<at::Tensor> Heads(const at::Tensor& qkv, int64_t heads, int64_t queries) {
  const at::Tensor parts =
      qkv.view({qkv.size(0), qkv.size(1), 3, heads, -1}).permute({2, 0, 3, 1, 4});
  return {parts.select(0, 0).slice(2, 0, queries), parts.select(0, 1), parts.select(0, 2)};
}

// [images, tokens, dim] as a view [images, heads, tokens, d].
at::Tensor ByHead(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, -1}).transpose(1, 2);
}

at::Tensor Probabilities(const at::Tensor& q, const at::Tensor& k) {
  // Scaled before the product, or fp16 may overflow.
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  return at::softmax(at::matmul(q * scale, k.transpose(2, 3)), 3, at::kFloat).to(q.scalar_type());
}

}  // namespace

// Saves nothing: backward computes the probabilities from q and k.
at::Tensor Attention(const at::Tensor& qkv, int64_t heads, int64_t queries, at::Tensor*) {
  const std::vector<at::Tensor> parts = Heads(qkv, heads, queries);
  const at::Tensor p = Probabilities(parts[0], parts[1]);
  return at::matmul(p, parts[2]).transpose(1, 2).reshape({qkv.size(0), queries, -1});
}

// dS = P · (dP − Σ dO · O) / sqrt(d), with the sum over d: Dao et al., arXiv 2205.14135, appendix
// B.
at::Tensor AttentionBackward(const at::Tensor& qkv, int64_t heads, const at::Tensor& o,
                             const at::Tensor&, const at::Tensor& d_o) {
  const int64_t queries = o.size(1);
  const std::vector<at::Tensor> parts = Heads(qkv, heads, queries);
  const at::Tensor &q = parts[0], &k = parts[1], &v = parts[2];
  const at::Tensor p = Probabilities(q, k);
  const at::Tensor by_head = ByHead(d_o, heads);
  const at::Tensor delta = (Wide(by_head) * ByHead(o, heads)).sum(3, true);
  const at::Tensor dp = at::matmul(by_head, v.transpose(2, 3));
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor ds = (p * (Wide(dp) - delta) * scale).to(qkv.scalar_type());

  const at::Tensor d_qkv = at::empty_like(qkv);
  const std::vector<at::Tensor> to = Heads(d_qkv, heads, qkv.size(1));
  to[0].slice(2, 0, queries).copy_(at::matmul(ds, k));
  to[0].slice(2, queries).zero_();
  to[1].copy_(at::matmul(ds.transpose(2, 3), q));
  to[2].copy_(at::matmul(p.transpose(2, 3), by_head));
  return d_qkv;
}

namespace {

// Philox (random.h) of all counters {c0, c1, c2, c3}, int64 tensors that broadcast, as four tensors
// of words. A product of two 32-bit words fills an int64's 64 bits; only its bits count.
std::vector<at::Tensor> PhiloxWords(PhiloxKey key, std::vector<at::Tensor> c) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const at::Tensor p0 = c[0] * int64_t{kPhiloxMultipliers[0]};
    const at::Tensor p1 = c[2] * int64_t{kPhiloxMultipliers[1]};
    const auto high = [](const at::Tensor& p) {
      return p.bitwise_right_shift(32).bitwise_and(kLow32);
    };
    c = {high(p1).bitwise_xor(c[1]).bitwise_xor(int64_t{key.k0}), p1.bitwise_and(kLow32),
         high(p0).bitwise_xor(c[3]).bitwise_xor(int64_t{key.k1}), p0.bitwise_and(kLow32)};
    key = NextPhiloxKey(key);
  }
  return c;
}

// 0 or the scale for each element of x, fp32, as DropoutMask defines it.
at::Tensor MaskOf(const at::Tensor& x, const DropoutMask& mask) {
  const int64_t samples = x.size(0) / mask.rows_per_sample;
  const int64_t elements = mask.rows_per_sample * x.size(1), groups = (elements + 127) / 128;
  const at::TensorOptions options = x.options().dtype(at::kLong);
  const auto number = [&options](int64_t value) { return at::full({1, 1}, value, options); };
  const std::vector<at::Tensor> words = PhiloxWords(
      mask.key, {at::arange(16 * groups, options).unsqueeze(0),
                 at::arange(mask.first_sample, mask.first_sample + samples, options).unsqueeze(1),
                 number(mask.step & kLow32), number(mask.step >> 32)});
  std::vector<at::Tensor> halves;
  for (const at::Tensor& word : words) {
    const at::Tensor lanes = word.view({samples, groups, 16});
    halves.push_back(lanes.bitwise_and(0xffff));
    halves.push_back(lanes.bitwise_right_shift(16));
  }
  const at::Tensor kept =
      at::stack(halves, 2).view({samples, -1}).slice(1, 0, elements) >= int64_t{mask.threshold};
  return kept.to(at::kFloat).mul_(mask.scale()).reshape(x.sizes());
}

}  // namespace

at::Tensor Dropout(const at::Tensor& x, const DropoutMask& mask) {
  return (x * MaskOf(x, mask)).to(x.scalar_type());
}

void DropoutAdd(const at::Tensor& x, const DropoutMask& mask, const at::Tensor& to) {
  to.copy_(to + x * MaskOf(x, mask));
}

QuantizedRows QuantizeRows(const at::Tensor& x, const at::Tensor& columns, double threshold) {
  at::Tensor kept = Wide(x);
  if (threshold > 0) kept = kept.masked_fill(kept.abs() >= threshold, 0);
  if (columns.defined()) kept = kept * columns;
  const at::Tensor absmax = kept.abs().amax(1, true);
  const at::Tensor factor = (kCodes / absmax).nan_to_num(0, 0, 0);  // as the kernels do
  const at::Tensor codes = at::round(kept * factor).nan_to_num(0).to(at::kChar);
  // An infinite one would make zeros of its row.
  return {codes, (absmax / kCodes).masked_fill(~at::isfinite(absmax), NAN).view({-1})};
}

void FinishProduct(const at::Tensor& product, const Epilogue& e, const at::Tensor& c) {
  at::Tensor y = product;
  if (e.bias.defined()) y = y + e.bias;
  if (e.add.defined()) y = y + e.add;
  if (e.multiply.defined()) y = y * e.multiply;
  c.copy_(y);
}

void FinishInt8(const at::Tensor& sums, const at::Tensor& row_scales, const at::Tensor& columns,
                const Epilogue& e, const at::Tensor& y) {
  at::Tensor product = Wide(sums) * row_scales.unsqueeze(1);
  if (columns.defined()) product = product * columns;
  tensor_ops::FinishProduct(product, e, y);
}

void Matmul(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const Epilogue& e,
            const Factors& more) {
  if (more.left.defined()) {
    tensor_ops::Matmul(a, b, c, {e.bias, e.add, {}}, {});
    return tensor_ops::Matmul(more.left, more.right, c, {{}, c, e.multiply}, {});
  }
  // Sums of codes are exact up to 2^24 in fp32 and off by 2^-24 of themselves above.
  if (a.scalar_type() == at::kChar) {
    return tensor_ops::FinishProduct(at::mm(Wide(a), Wide(b)), e, c);
  }
  const at::ScalarType type = c.scalar_type();
  const bool adds_both = e.bias.defined() && e.add.defined();
  const bool adds_wide = e.add.defined() && e.add.scalar_type() != type;
  if (a.scalar_type() != type || adds_both || adds_wide || e.multiply.defined()) {
    return tensor_ops::FinishProduct(at::mm(a, b), e, c);
  }
  at::Tensor out = c;
  const at::Tensor added = e.bias.defined() ? e.bias.to(type) : e.add;
  if (added.defined()) {
    at::addmm_out(out, added, a, b);
  } else {
    at::mm_out(out, a, b);
  }
}

}  // namespace qsweep::engine::tensor_ops
