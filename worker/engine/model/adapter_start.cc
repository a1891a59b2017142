#include "worker/engine/model/adapter_start.h"

#include <algorithm>
#include <cmath>

namespace qsweep::engine {

AdapterPair LowRankPair(const at::Tensor& matrix, int64_t rank, double scaling) {
  const auto [u, s, vt] = at::linalg_svd(matrix, /*full_matrices=*/false);
  const at::Tensor root = (s.slice(0, 0, rank) / scaling).sqrt();
  at::Tensor a = root.unsqueeze(1) * vt.slice(0, 0, rank);
  at::Tensor b = u.slice(1, 0, rank) * root.unsqueeze(0);
  const at::Tensor largest = a.gather(1, a.abs().argmax(1, /*keepdim=*/true));
  const at::Tensor sign = at::where(largest < 0, -at::ones_like(largest), at::ones_like(largest));
  return {(a * sign).contiguous(), (b * sign.t()).contiguous()};
}

at::Tensor AdapterProduct(const AdapterPair& pair, double scaling) {
  return (at::matmul(pair.b.to(at::kDouble), pair.a.to(at::kDouble)) * scaling).to(at::kFloat);
}

// With P = [B, −B0] and Q = [A; A0], |P Q|² = trace((PᵀP)(Q Qᵀ)).
double AdapterChangeNorm(const AdapterPair& now, const AdapterPair& start, double scaling) {
  at::Tensor p = now.b.to(at::kDouble), q = now.a.to(at::kDouble);
  if (start.a.defined()) {
    p = at::cat({p, -start.b.to(at::kDouble)}, 1);
    q = at::cat({q, start.a.to(at::kDouble)}, 0);
  }
  const double square = (at::matmul(p.t(), p) * at::matmul(q, q.t())).sum().item<double>();
  return std::fabs(scaling) * std::sqrt(std::max(square, 0.0));
}

}  // namespace qsweep::engine
