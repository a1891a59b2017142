// What stands around a product of int8 codes: rows are quantized to codes (row-wise absmax, arXiv
// 2208.07339, section 3), and the int32 sums become numbers again.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_INT8_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_INT8_H_

#include <cmath>

#include "worker/engine/model/kernels/simd.h"

namespace qsweep::engine::QSWEEP_ISA {

// To the nearest, ties to even, for |x| < 2^22.
inline I Nearest(F x) {
  const F magic = Splat(12582912.0f);  // 1.5 * 2^23
  return reinterpret_cast<I>(x + magic) - reinterpret_cast<I>(magic);
}

// `x` times the column's scale; zero where kLimited and of at least `limit`.
template <bool kLimited, typename T>
inline F Moderate(const T* x, const float* columns, F limit) {
  F value = Load(x);
  if constexpr (kLimited) value = Max(value, -value) >= limit ? Splat(0) : value;
  return columns != nullptr ? value * Load(columns) : value;
}

// The largest magnitude, NaN if one is not finite. Magnitudes order as their bits do, and what is
// not finite lies above all others.
template <bool kLimited, typename T>
inline float AbsMax(int64_t dim, const T* x, const float* columns, F limit) {
  constexpr int32_t kInfinity = 0x7f800000;
  I most = {};
  for (int64_t i = 0; i < dim; i += kWidth) {
    const F value = Moderate<kLimited>(x + i, columns ? columns + i : nullptr, limit);
    const I bits = reinterpret_cast<I>(value) & 0x7fffffff;
    most = bits > most ? bits : most;
  }
  int32_t largest = 0;
  for (int i = 0; i < kWidth; ++i) largest = most[i] > largest ? most[i] : largest;
  float absmax;
  std::memcpy(&absmax, &largest, sizeof(absmax));
  return largest < kInfinity ? absmax : NAN;
}

template <bool kLimited, typename T>
void QuantizeRowsLimited(int64_t rows, int64_t dim, const T* x, const float* columns, F limit,
                         int8_t* codes, float* scales) {
  for (int64_t row = 0; row < rows; ++row, x += dim, codes += dim) {
    const float absmax = AbsMax<kLimited>(dim, x, columns, limit);
    scales[row] = absmax / 127.0f;
    const float ratio = 127.0f / absmax;
    const F factor = Splat(std::isfinite(ratio) ? ratio : 0.0f);
    for (int64_t i = 0; i < dim; i += kWidth) {
      const F value = Moderate<kLimited>(x + i, columns ? columns + i : nullptr, limit);
      const C code = Narrowed(Nearest(value * factor));
      std::memcpy(codes + i, &code, sizeof(code));
    }
  }
}

template <typename T>
void QuantizeRows(int64_t rows, int64_t dim, const T* x, const float* columns, float threshold,
                  int8_t* codes, float* scales) {
  const auto quantize =
      threshold > 0 ? &QuantizeRowsLimited<true, T> : &QuantizeRowsLimited<false, T>;
  quantize(rows, dim, x, columns, Splat(threshold), codes, scales);
}

template <typename T>
void FinishInt8(int64_t rows, int64_t dim, const int32_t* sums, const float* row_scales,
                const Int8Finish<T>& finish) {
  for (int64_t row = 0; row < rows; ++row) {
    const F scale = Splat(row_scales[row]);
    for (int64_t i = 0; i < dim; i += kWidth) {
      const int64_t at = row * dim + i;
      F y = AsFloat(LoadBits<I>(sums + at)) * scale;
      if (finish.columns != nullptr) y *= Load(finish.columns + i);
      if (finish.bias != nullptr) y += Load(finish.bias + i);
      if (finish.add != nullptr) y += Load(finish.add + at);
      if (finish.multiply != nullptr) y *= Load(finish.multiply + at);
      Store(finish.y + at, y);
    }
  }
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_INT8_H_
