// GELU (arXiv 1606.08415), exact form: g(u) = u · Φ(u), g'(u) = Φ(u) + u · φ(u),
//   φ(u) = exp(−u²/2) / sqrt(2π),  Φ(u) = (1 + erf(u / sqrt 2)) / 2
// erf by Abramowitz and Stegun, 7.1.26: for z >= 0, erf(z) = 1 − (a1 t + ... + a5 t⁵) exp(−z²) with
// t = 1 / (1 + p z), off by at most 1.5e-7. Its exponential is φ's, so both functions cost one.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_GELU_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_GELU_H_

#include "worker/engine/model/kernels/simd.h"

namespace qsweep::engine::QSWEEP_ISA {

template <typename T>
inline void GeluOf(F u, F* g, F* derivative) {
  const F magnitude = Max(u, -u);
  const F e = Exp2<T>(u * u * -0.72134752f);  // log2(e) / 2
  const F t = Reciprocal<T>(magnitude * (0.3275911f * 0.70710678f) + 1.0f);
  F tail = t * (1.061405429f * 0.5f) - 1.453152027f * 0.5f;
  tail = tail * t + 1.421413741f * 0.5f;
  tail = tail * t - 0.284496736f * 0.5f;
  tail = tail * t + 0.254829592f * 0.5f;
  tail = tail * t * e;  // Φ(−|u|)
  const F cdf = u < 0.0f ? tail : 1.0f - tail;
  *g = u * cdf;
  *derivative = cdf + u * e * 0.39894228f;  // 1 / sqrt(2π)
}

template <typename T>
void Gelu(int64_t n, T* u, T* g, bool keep_derivative) {
  const auto some = [&](T* from, T* to) {
    F value, derivative;
    GeluOf<T>(Load(from), &value, &derivative);
    Store(to, value);
    if (keep_derivative) Store(from, derivative);
  };
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) some(u + i, g + i);
  if (i == n) return;
  T from[kWidth] = {}, to[kWidth];
  std::memcpy(from, u + i, (n - i) * sizeof(T));
  some(from, to);
  std::memcpy(u + i, from, (n - i) * sizeof(T));
  std::memcpy(g + i, to, (n - i) * sizeof(T));
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_GELU_H_
