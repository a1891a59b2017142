// LayerNorm over rows of `dim` numbers:
//   x̂ = (x − mean(x)) · rstd,  rstd = 1 / sqrt(mean((x − mean(x))²) + eps),  y = x̂ · γ + β
// backward, with g = dy · γ:
//   dx = rstd · (g − mean(g) − x̂ · mean(g · x̂)),  dγ = Σ dy · x̂,  dβ = Σ dy
// Statistics in fp32, the variance from the centred values.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_LAYER_NORM_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_LAYER_NORM_H_

#include <cmath>

#include "worker/engine/model/kernels/simd.h"

namespace qsweep::engine::QSWEEP_ISA {

template <typename T>
void LayerNorm(int64_t rows, int64_t dim, const float* x, const float* gamma, const float* beta,
               float eps, T* xhat, float* rstd, T* y) {
  const float over_dim = 1.0f / static_cast<float>(dim);
  for (int64_t row = 0; row < rows; ++row, x += dim, y += dim) {
    F sum = {};
    for (int64_t i = 0; i < dim; i += kWidth) sum += Load(x + i);
    const float mean = Sum(sum) * over_dim;
    F squares = {};
    for (int64_t i = 0; i < dim; i += kWidth) {
      const F centred = Load(x + i) - mean;
      squares += centred * centred;
    }
    const float scale = 1.0f / __builtin_sqrtf(Sum(squares) * over_dim + eps);
    for (int64_t i = 0; i < dim; i += kWidth) {
      const F normed = RoundedTo<T>((Load(x + i) - mean) * scale);
      if (xhat != nullptr) Store(xhat + i, normed);
      Store(y + i, normed * Load(gamma + i) + Load(beta + i));
    }
    if (xhat != nullptr) xhat += dim;
    if (rstd != nullptr) rstd[row] = scale;
  }
}

template <typename T>
void LayerNormOutput(int64_t rows, int64_t dim, const T* xhat, const float* gamma,
                     const float* beta, T* y) {
  for (int64_t row = 0; row < rows; ++row, xhat += dim, y += dim) {
    for (int64_t i = 0; i < dim; i += kWidth) {
      Store(y + i, Load(xhat + i) * Load(gamma + i) + Load(beta + i));
    }
  }
}

template <typename T>
void LayerNormBackward(int64_t rows, int64_t dim, const T* dy, const T* xhat, const float* rstd,
                       const float* gamma, const float* add, float* dx, T* narrow) {
  const float over_dim = 1.0f / static_cast<float>(dim);
  for (int64_t row = 0; row < rows; ++row, dy += dim, xhat += dim, dx += dim) {
    F sum = {}, dot = {};
    for (int64_t i = 0; i < dim; i += kWidth) {
      const F g = Load(dy + i) * Load(gamma + i);
      sum += g;
      dot += g * Load(xhat + i);
    }
    const float mean = Sum(sum) * over_dim, along = Sum(dot) * over_dim;
    for (int64_t i = 0; i < dim; i += kWidth) {
      const F g = Load(dy + i) * Load(gamma + i);
      F d = (g - mean - Load(xhat + i) * along) * rstd[row];
      if (add != nullptr) d += Load(add + i);
      Store(dx + i, d);
      if (narrow != nullptr) Store(narrow + i, d);
    }
    if (add != nullptr) add += dim;
    if (narrow != nullptr) narrow += dim;
  }
}

template <typename T>
void LayerNormParameters(int64_t rows, int64_t dim, const T* dy, const T* xhat, float* d_gamma,
                         float* d_beta) {
  for (int64_t row = 0; row < rows; ++row, dy += dim, xhat += dim) {
    for (int64_t i = 0; i < dim; i += kWidth) {
      const F g = Load(dy + i);
      Store(d_gamma + i, Load(d_gamma + i) + g * Load(xhat + i));
      Store(d_beta + i, Load(d_beta + i) + g);
    }
  }
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_LAYER_NORM_H_
