// c = epilogue(a · b) with much of everything: whole panels of b, packed where they stay in a
// core's second-level cache, against tiles of a's rows.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_MATMUL_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_MATMUL_H_

#include <algorithm>

#include "worker/engine/model/kernels/tile.h"

namespace qsweep::engine::QSWEEP_ISA {

// Of packed b: half a second-level cache, the other half being for rows of a and c on their way.
inline constexpr int64_t kPanelBytes = 400 << 10;
inline constexpr int64_t kTileColumns = kTileVectors * kWidth;

// The division of a product and of its scratch memory.
template <typename T>
struct MatmulPlan {
  static constexpr int kElements = UnitOf<T>::kElements;
  // Rows of a are read where they lie when they are units already.
  static constexpr bool kConverts = sizeof(typename UnitOf<T>::Element) != sizeof(T);

  MatmulPlan(int64_t n, int64_t k) : units(k / kElements) {
    const int64_t fitting = std::max<int64_t>(
        1, kPanelBytes / (units * kTileColumns * static_cast<int64_t>(sizeof(float))));
    const int64_t tiles = (n + kTileColumns - 1) / kTileColumns;
    const int64_t panels = (tiles + fitting - 1) / fitting;
    columns = std::min(n, (tiles + panels - 1) / panels * kTileColumns);
  }
  int64_t floats() const { return units * (columns + kTileRows + (kConverts ? kWidth : 0)); }

  int64_t units;    // of k
  int64_t columns;  // of a panel
};

template <typename T>
int64_t MatmulColumns(int64_t n, int64_t k) {
  return MatmulPlan<T>(n, k).columns;
}

template <typename T>
int64_t MatmulScratch(int64_t n, int64_t k) {
  return MatmulPlan<T>(n, k).floats();
}

// Columns first .. first + n of b as [units][n].
template <typename T>
void PackColumns(const MatmulOperands<T>& s, int64_t first, int64_t n, float* rows, float* out) {
  const int64_t units = s.k / UnitOf<T>::kElements;
  if (!s.b_transposed) return PackPairs(s.b + first, s.b_stride, s.k, n, out);
  const T* from = s.b + first * s.b_stride;
  if constexpr (MatmulPlan<T>::kConverts) {
    for (int64_t i = 0; i < n; i += kWidth, from += kWidth * s.b_stride) {
      PackRows<T>(from, s.b_stride, kWidth, kWidth, s.k, rows);
      PackTransposed(rows, units, kWidth, units, out + i, n);
    }
  } else {
    PackTransposed(reinterpret_cast<const float*>(from), s.b_stride / UnitOf<T>::kElements, n,
                   units, out, n);
  }
}

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

// A tile of c, `rows` (at most kTileRows) by kVectors, against its packed columns [units][columns].
template <typename T, typename C, int kVectors>
inline void MatmulTile(const MatmulShape<T>& s, const MatmulResult<C>& to, const Broadcast (&a)[2],
                       int64_t row, int64_t rows, const float* panel, int64_t column) {
  constexpr int64_t kStride = kVectors * kWidth;
  const int64_t units = s.first.k / UnitOf<T>::kElements;
  F sum[kTileRows][kVectors] = {};
  FetchTile(to.add, to.add_stride, row, rows, column, kStride);
  FetchTile(to.multiply, to.multiply_stride, row, rows, column, kStride);
  AddProduct<T>(sum, a[0], panel, kStride, units);
  AddProduct<T>(sum, a[1], panel + units * kStride, kStride, s.second.k / UnitOf<T>::kElements);
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
  if (rows == kTileRows && !MatmulPlan<T>::kConverts) {
    return {reinterpret_cast<const float*>(from), s.a_stride / kElements, 1};
  }
  PackRows<T>(from, s.a_stride, rows, kTileRows, s.k, scratch);
  return {scratch, s.k / kElements, 1};
}

// Columns begin .. end of c.
template <typename T, typename C>
void Matmul(const MatmulShape<T>& s, const MatmulResult<C>& to, int64_t begin, int64_t end,
            float* scratch) {
  const MatmulPlan<T> plan(s.n, s.k());
  const int64_t first_units = s.first.k / plan.kElements;
  float* panel = scratch;
  float* rows_of_a = panel + plan.units * plan.columns;
  float* rows_of_b = rows_of_a + plan.units * kTileRows;
  for (int64_t first = begin, n; first < end; first += n) {
    n = std::min(plan.columns, end - first);
    ForWidths(n / kWidth, [&]<int kVectors>(Width<kVectors>, int64_t vector) {
      constexpr int64_t kColumns = kVectors * kWidth;
      const int64_t column = vector * kWidth;
      float* packed = panel + column * plan.units;
      PackColumns(s.first, first + column, kColumns, rows_of_b, packed);
      PackColumns(s.second, first + column, kColumns, rows_of_b, packed + first_units * kColumns);
    });
    for (int64_t row = 0; row < s.m; row += kTileRows) {
      const int64_t rows = std::min<int64_t>(kTileRows, s.m - row);
      const Broadcast a[2] = {TileOfRows(s.first, row, rows, rows_of_a),
                              TileOfRows(s.second, row, rows, rows_of_a + first_units * kTileRows)};
      ForWidths(n / kWidth, [&]<int kVectors>(Width<kVectors>, int64_t vector) {
        const int64_t column = vector * kWidth;
        MatmulTile<T, C, kVectors>(s, to, a, row, rows, panel + column * plan.units,
                                   first + column);
      });
    }
  }
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_MATMUL_H_
