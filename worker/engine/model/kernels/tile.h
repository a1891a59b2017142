// Products of a tile, as many sums as there are registers for, from which attention and the
// products with weights are made. All of them run on 32-bit units along the summed dimension: one
// float, or, where the processor has the dot product for it, a pair of bf16; of int8 codes four, or
// two as int16. An operand is laid out in one of three ways:
//   rows        [row][k unit]   broadcast, one unit at a time
//   transposed  [k unit][row]   vectors of rows, where the summed dimension is d
//   pairs       [row unit][d]   vectors of d, where the summed dimension is the row (a unit may be
//                               one row or four)
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_TILE_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_TILE_H_

#include "worker/engine/model/kernels/simd.h"

namespace qsweep::engine::QSWEEP_ISA {

// What a unit holds when the inputs are T.
template <typename T>
struct UnitOf {
  using Element = float;
  static constexpr int kElements = 1;
  static F Dot(F sum, F a, F b) { return sum + a * b; }
};
#if defined(__AVX512BF16__)
template <>
struct UnitOf<Bf16> {
  using Element = Bf16;
  static constexpr int kElements = 2;
  static F Dot(F sum, F a, F b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};
#endif

// Sums of codes are int32 and exact.
template <>
struct UnitOf<int8_t> {
#if defined(__AVX512VNNI__)
  using Element = int8_t;
  static constexpr int kElements = 4;
  // b's codes plus 128, as the instruction multiplies signed numbers by unsigned ones.
  static I Dot(I sum, F a, F b) {
    return reinterpret_cast<I>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                   reinterpret_cast<__m512i>(b),
                                                   reinterpret_cast<__m512i>(a)));
  }
#else
  using Element = int16_t;
  static constexpr int kElements = 2;
  static I Dot(I sum, F a, F b) {
#if defined(__AVX512F__)
    return sum + reinterpret_cast<I>(
                     _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
    return sum + reinterpret_cast<I>(
                     _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
    return sum + reinterpret_cast<I>(
                     _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
    const I x = reinterpret_cast<I>(a), y = reinterpret_cast<I>(b);
    return sum + (x >> 16) * (y >> 16) + (x << 16 >> 16) * (y << 16 >> 16);
#endif
  }
#endif
};

// Accumulators of a tile: kTileRows x kTileVectors, as many as leave registers for the operands.
inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = kWidth == 16 ? 4 : 2;

inline int64_t RoundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// --- Layouts

inline void Convert(const Bf16* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) Store(to + i, Load(from + i));
  for (; i < n; ++i) to[i] = __builtin_bit_cast(float, static_cast<uint32_t>(from[i].bits) << 16);
}
typedef int8_t C4 __attribute__((vector_size(4)));
typedef int16_t S4 __attribute__((vector_size(8)));
inline void Convert(const int8_t* from, int16_t* to, int64_t n) {
  for (int64_t i = 0; i < n; i += 4) {
    const C4 codes = LoadBits<C4>(from + i);
    const S4 wide = __builtin_convertvector(codes, S4);
    std::memcpy(to + i, &wide, sizeof(wide));
  }
}
template <typename T>
inline void Convert(const T* from, T* to, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) std::memcpy(to + i, from + i, 16 * sizeof(T));
  std::memcpy(to + i, from + i, (n - i) * sizeof(T));
}

// Ahead in PackRows: short pieces of rows far apart, which no processor foresees.
inline constexpr int64_t kRowsAhead = 12;

// [padded rows][d] elements; rows past n are zero.
template <typename T>
void PackRows(const T* x, int64_t stride, int64_t n, int64_t padded, int64_t d, float* out) {
  using Element = typename UnitOf<T>::Element;
  Element* to = reinterpret_cast<Element*>(out);
  for (int64_t row = 0; row < n; ++row) {
    const T* from = x + row * stride;
    for (int64_t i = 0; i < d; i += 64 / sizeof(T)) {
      __builtin_prefetch(from + kRowsAhead * stride + i);
    }
    Convert(from, to + row * d, d);
  }
  std::memset(to + n * d, 0, (padded - n) * d * sizeof(Element));
}

// The transpose of a square of kWidth x kWidth, by swapping ever larger halves.
inline void TransposeSquare(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  F rows[kWidth];
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) rows[i] = Load(from + i * from_stride);
#pragma GCC unroll 4
  for (int half = 1; half < kWidth; half *= 2) {
    I low, high;
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) {
      low[i] = (i & half) == 0 ? i : kWidth + (i ^ half);
      high[i] = (i & half) == 0 ? (i ^ half) : kWidth + i;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) {
      if ((i & half) != 0) continue;
      const F a = rows[i], b = rows[i | half];
      rows[i] = __builtin_shuffle(a, b, low);
      rows[i | half] = __builtin_shuffle(a, b, high);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) Store(to + i * to_stride, rows[i]);
}

// [unit][row] from n rows of units: `stride` from row to row, `to_stride` from unit to unit.
// Weights come from far away, a line of each of many rows, which no processor foresees: those of
// the rows below are asked for in time.
inline void PackTransposed(const float* rows, int64_t stride, int64_t n, int64_t units, float* to,
                           int64_t to_stride) {
  for (int64_t row = 0; row < n; row += kWidth, rows += kWidth * stride, to += kWidth) {
    int64_t unit = 0;
    for (; unit + kWidth <= units; unit += kWidth) {
      for (int i = 0; i < kWidth; ++i) __builtin_prefetch(rows + (kWidth + i) * stride + unit);
      TransposeSquare(rows + unit, stride, to + unit * to_stride, to_stride);
    }
    for (; unit < units; ++unit) {
      for (int64_t i = 0; i < kWidth; ++i) to[unit * to_stride + i] = rows[i * stride + unit];
    }
  }
}

// A vector of units, of as many rows as a unit holds.
inline void StoreUnits(const Bf16* rows, int64_t stride, float* out) {
  const U low = Widened(LoadBits<H>(rows)), high = Widened(LoadBits<H>(rows + stride));
  Store(out, reinterpret_cast<F>(low | high << 16));
}
inline void StoreUnits(const int8_t* rows, int64_t stride, float* out) {
  constexpr int kElements = UnitOf<int8_t>::kElements, kBits = 32 / kElements;
  U units = {};
#pragma GCC unroll 4
  for (int i = 0; i < kElements; ++i, rows += stride) {
    const U codes = reinterpret_cast<U>(Widened(LoadBits<C>(rows)));
    units |= (codes & (~0u >> (32 - kBits))) << (i * kBits);
  }
  Store(out, reinterpret_cast<F>(units));
}

// [n / elements][d] units from n rows of d elements, `stride` elements apart.
template <typename T>
void PackPairs(const T* rows, int64_t stride, int64_t n, int64_t d, float* out) {
  constexpr int kElements = UnitOf<T>::kElements;
  if constexpr (kElements == 1) {
    PackRows<T>(rows, stride, n, n, d, out);
  } else {
    for (int64_t row = 0; row < n; row += kElements, rows += kElements * stride, out += d) {
      for (int64_t i = 0; i < d; i += kWidth) StoreUnits(rows + i, stride, out + i);
    }
  }
}

// --- Products

// A broadcast operand: unit k of row r is at[r * row_step + k * k_step].
struct Broadcast {
  const float* at;
  int64_t row_step, k_step;
};

// sum += kTileRows rows of a · b, b being [k units][b_stride].
template <typename T, typename V, int kVectors>
__attribute__((always_inline)) inline void AddProduct(V (&sum)[kTileRows][kVectors], Broadcast a,
                                                      const float* b, int64_t b_stride, int64_t k) {
  // Row r is reached as thirds[r / 3] + (r % 3) * step, which an address can hold: with a register
  // for each row there are too few, and every step reloads them.
  constexpr int kThirds = (kTileRows + 2) / 3;
  const int64_t step = a.row_step;
  const float* thirds[kThirds];
#pragma GCC unroll 8
  for (int i = 0; i < kThirds; ++i) thirds[i] = a.at + 3 * i * step;
  for (int64_t i = 0; i < k; ++i, b += b_stride) {
    F right[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) right[v] = Load(b + v * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const F left = SplatAt(&thirds[r / 3][r % 3 * step]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[r][v] = UnitOf<T>::Dot(sum[r][v], left, right[v]);
    }
#pragma GCC unroll 8
    for (int t = 0; t < kThirds; ++t) thirds[t] += a.k_step;
  }
}

// use(row, vector, sum) for every vector of a tile.
template <typename V, int kVectors, typename Use>
__attribute__((always_inline)) inline void ForTile(V (&sum)[kTileRows][kVectors], const Use& use) {
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) use(r, v, sum[r][v]);
  }
}

// use(Width<w>(), first) for tiles of nearly one width, at most kTileVectors, that make up
// `vectors`.
template <int kVectors>
struct Width {};
template <typename Use>
inline void ForWidths(int64_t vectors, const Use& use) {
  for (int64_t vector = 0, width; vector < vectors; vector += width) {
    const int64_t left = vectors - vector;
    const int64_t tiles = (left + kTileVectors - 1) / kTileVectors;
    width = (left + tiles - 1) / tiles;
    switch (width) {
      case 4:
        use(Width<4>(), vector);
        break;
      case 3:
        use(Width<3>(), vector);
        break;
      case 2:
        use(Width<2>(), vector);
        break;
      default:
        use(Width<1>(), vector);
        break;
    }
  }
}

// kTileRows rows of a · b, b being [k][b_stride]: calls done(row, column, F) for `vectors` vectors
// of columns.
template <typename T, typename Done>
inline void Product(Broadcast a, const float* b, int64_t b_stride, int64_t k, int64_t vectors,
                    const Done& done) {
  ForWidths(vectors, [&]<int kVectors>(Width<kVectors>, int64_t first) {
    F sum[kTileRows][kVectors] = {};
    AddProduct<T>(sum, a, b + first * kWidth, b_stride, k);
    ForTile(sum, [&](int r, int v, F x) { done(r, (first + v) * kWidth, x); });
  });
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_TILE_H_
