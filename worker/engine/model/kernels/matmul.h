// c = epilogue(a · b) with much of everything: whole panels of b, packed where they stay in a
// core's second-level cache, against tiles of a's rows.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_MATMUL_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_MATMUL_H_

#include <algorithm>
#include <type_traits>

#include "worker/engine/model/kernels/tile.h"

namespace qsweep::engine::QSWEEP_ISA {

// Of packed b: less than half a second-level cache of 1 MiB, and most of one of 512 KiB, where less
// was not faster (docs/performance.md).
inline constexpr int64_t kPanelBytes = 400 << 10;
inline constexpr int64_t kTileColumns = kTileVectors * kWidth;

// Rows of a are read where they lie when they are units already.
template <typename T>
inline constexpr bool kConverts = sizeof(typename UnitOf<T>::Element) != sizeof(T);

// A product's units of k, and its division in them.
template <typename T, typename A>
struct MatmulPlan {
  explicit MatmulPlan(const MatmulShape<T, A>& s)
      : first(s.first.k / UnitOf<A>::kElements), second(s.second.k / UnitOf<T>::kElements) {
    const int64_t fitting = std::max<int64_t>(
        1, kPanelBytes / (units() * kTileColumns * static_cast<int64_t>(sizeof(float))));
    const int64_t tiles = (s.n + kTileColumns - 1) / kTileColumns;
    const int64_t panels = (tiles + fitting - 1) / fitting;
    columns = std::min(s.n, (tiles + panels - 1) / panels * kTileColumns);
  }
  int64_t units() const { return first + second; }
  int64_t floats() const {
    return units() * (columns + kTileRows + (kConverts<T> || kConverts<A> ? kWidth : 0));
  }

  int64_t first, second;  // units of either product
  int64_t columns;        // of a panel
};

template <typename T, typename A>
MatmulDivision Division(const MatmulShape<T, A>& s) {
  const MatmulPlan<T, A> plan(s);
  return {plan.columns, plan.floats()};
}

// Columns first .. first + n of b as [units][n].
template <typename T>
void PackColumns(const MatmulOperands<T>& s, int64_t first, int64_t n, float* rows, float* out) {
  const int64_t units = s.k / UnitOf<T>::kElements;
  if (!s.b_transposed) return PackPairs(s.b + first, s.b_stride, s.k, n, out);
  const T* from = s.b + first * s.b_stride;
  if constexpr (kConverts<T>) {
    for (int64_t i = 0; i < n; i += kWidth, from += kWidth * s.b_stride) {
      PackRows<T>(from, s.b_stride, kWidth, kWidth, s.k, rows);
      PackTransposed(rows, units, kWidth, units, out + i, n);
    }
  } else {
    PackTransposed(reinterpret_cast<const float*>(from), s.b_stride / UnitOf<T>::kElements, n,
                   units, out, n);
  }
}

#if defined(__AVX512VNNI__)
// Codes plus 128 are codes with the sign flipped, ...
inline void MakeUnsigned(float* units, int64_t n) {
  for (int64_t i = 0; i < n; i += kWidth) {
    Store(units + i, reinterpret_cast<F>(LoadBits<U>(units + i) ^ SplatBits(0x80808080)));
  }
}
// ... which leaves 128 times the sum of a's row too much.
inline void StartSums(Broadcast a, int64_t units, int32_t (&start)[kTileRows]) {
  for (int r = 0; r < kTileRows; ++r) {
    __m512i sum = {};
    for (int64_t unit = 0; unit < units; unit += kWidth) {
      const __mmask16 mask =
          static_cast<__mmask16>((1u << std::min<int64_t>(kWidth, units - unit)) - 1);
      sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1),
                                _mm512_maskz_loadu_epi32(mask, a.at + r * a.row_step + unit));
    }
    start[r] = -128 * _mm512_reduce_add_epi32(sum);
  }
}
#else
inline void MakeUnsigned(float*, int64_t) {}
inline void StartSums(Broadcast, int64_t, int32_t (&)[kTileRows]) {}
#endif

// For the end of a tile's product: what is added to it or multiplied was often made long ago.
template <typename C>
inline void FetchTile(const C* from, int64_t stride, int64_t row, int64_t rows, int64_t column,
                      int64_t columns) {
  if (from == nullptr) return;
  from += row * stride + column;
  for (int64_t r = 0; r < rows; ++r, from += stride) {
    for (int64_t i = 0; i < columns; i += 64 / sizeof(C)) __builtin_prefetch(from + i);
  }
}

// The first product of a tile.
template <typename T, typename A, int kVectors>
__attribute__((always_inline)) inline void FirstProduct(const MatmulShape<T, A>& s,
                                                        F (&sum)[kTileRows][kVectors], Broadcast a,
                                                        const int32_t (&start)[kTileRows],
                                                        int64_t row, int64_t rows,
                                                        const float* panel, int64_t column,
                                                        int64_t units) {
  if constexpr (!std::is_same_v<A, int8_t>) {
    AddProduct<A>(sum, a, panel, kVectors * kWidth, units);
  } else {
    I codes[kTileRows][kVectors];
    ForTile(codes, [&](int r, int, I& x) { x = I{} + start[r]; });
    AddProduct<A>(codes, a, panel, kVectors * kWidth, units);
    ForTile(sum, [&](int r, int v, F& x) {
      if (r < rows) x = AsFloat(codes[r][v]) * s.row_scales[row + r];
    });
    if (s.column_scales == nullptr) return;
    ForTile(sum, [&](int, int v, F& x) { x *= Load(s.column_scales + column + v * kWidth); });
  }
}

// A tile of c, `rows` (at most kTileRows) by kVectors, against its packed columns [units][columns].
template <typename T, typename A, typename C, int kVectors>
inline void MatmulTile(const MatmulShape<T, A>& s, const MatmulPlan<T, A>& plan,
                       const MatmulResult<C>& to, const Broadcast (&a)[2],
                       const int32_t (&start)[kTileRows], int64_t row, int64_t rows,
                       const float* panel, int64_t column) {
  constexpr int64_t kStride = kVectors * kWidth;
  F sum[kTileRows][kVectors] = {};
  FetchTile(to.add, to.add_stride, row, rows, column, kStride);
  FetchTile(to.multiply, to.multiply_stride, row, rows, column, kStride);
  FirstProduct(s, sum, a[0], start, row, rows, panel, column, plan.first);
  AddProduct<T>(sum, a[1], panel + plan.first * kStride, kStride, plan.second);
  if (to.bias != nullptr) {
    ForTile(sum, [&](int, int v, F& x) { x += Load(to.bias + column + v * kWidth); });
  }
  if (to.add != nullptr) {
    const C* add = to.add + row * to.add_stride + column;
    ForTile(sum, [&](int r, int v, F& x) {
      if (r < rows) x += Load(add + r * to.add_stride + v * kWidth);
    });
  }
  if (to.multiply != nullptr) {
    const C* multiply = to.multiply + row * to.multiply_stride + column;
    ForTile(sum, [&](int r, int v, F& x) {
      if (r < rows) x *= Load(multiply + r * to.multiply_stride + v * kWidth);
    });
  }
  C* c = to.c + row * to.c_stride + column;
  ForTile(sum, [&](int r, int v, F& x) {
    if (r < rows) Store(c + r * to.c_stride + v * kWidth, x);
  });
}

// Rows of a as units, where they lie if they are such and a whole tile, or in `scratch`.
template <typename T>
Broadcast TileOfRows(const MatmulOperands<T>& s, int64_t row, int64_t rows, float* scratch) {
  constexpr int kElements = UnitOf<T>::kElements;
  const T* from = s.a + row * s.a_stride;
  if (rows == kTileRows && !kConverts<T>) {
    return {reinterpret_cast<const float*>(from), s.a_stride / kElements, 1};
  }
  PackRows<T>(from, s.a_stride, rows, kTileRows, s.k, scratch);
  return {scratch, s.k / kElements, 1};
}

// Columns begin .. end of c.
template <typename T, typename A, typename C>
void Matmul(const MatmulShape<T, A>& s, const MatmulResult<C>& to, int64_t begin, int64_t end,
            float* scratch) {
  constexpr bool kCodes = std::is_same_v<A, int8_t>;
  const MatmulPlan<T, A> plan(s);
  float* panel = scratch;
  float* rows_of_a = panel + plan.units() * plan.columns;
  float* rows_of_b = rows_of_a + plan.units() * kTileRows;
  for (int64_t first = begin, n; first < end; first += n) {
    n = std::min(plan.columns, end - first);
    ForWidths(n / kWidth, [&]<int kVectors>(Width<kVectors>, int64_t vector) {
      constexpr int64_t kColumns = kVectors * kWidth;
      const int64_t column = vector * kWidth;
      float* packed = panel + column * plan.units();
      PackColumns(s.first, first + column, kColumns, rows_of_b, packed);
      if (kCodes) MakeUnsigned(packed, plan.first * kColumns);
      PackColumns(s.second, first + column, kColumns, rows_of_b, packed + plan.first * kColumns);
    });
    for (int64_t row = 0; row < s.m; row += kTileRows) {
      const int64_t rows = std::min<int64_t>(kTileRows, s.m - row);
      const Broadcast a[2] = {TileOfRows(s.first, row, rows, rows_of_a),
                              TileOfRows(s.second, row, rows, rows_of_a + plan.first * kTileRows)};
      int32_t start[kTileRows] = {};
      if (kCodes) StartSums(a[0], plan.first, start);
      ForWidths(n / kWidth, [&]<int kVectors>(Width<kVectors>, int64_t vector) {
        const int64_t column = vector * kWidth;
        MatmulTile<T, A, C, kVectors>(s, plan, to, a, start, row, rows,
                                      panel + column * plan.units(), first + column);
      });
    }
  }
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_MATMUL_H_
