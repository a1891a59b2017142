// Attention of one head, o = P v with P = softmax(q kᵀ · c), c = 1 / sqrt(d). Forward keeps each
// row's largest score and sum, with which backward makes P again for less than it costs to keep it
// (FlashAttention, arXiv 2205.14135, section B.4). With δ = Σ_d dO · o:
//   dV = Pᵀ dO,  dS = P · (dO vᵀ − δ),  dQ = dS k · c,  dK = dSᵀ q · c
// A head's matrices fit a core's cache at the sizes of a ViT, so there is no blocking over keys:
// scores of a few rows at a time, everything else on the way.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_ATTENTION_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_ATTENTION_H_

#include <algorithm>
#include <cmath>

#include "worker/engine/model/kernels/tile.h"

namespace qsweep::engine::QSWEEP_ISA {

// Sizes and the division of the scratch memory.
template <typename T>
struct HeadPlan {
  static constexpr int kElements = UnitOf<T>::kElements;
  using Element = typename UnitOf<T>::Element;

  explicit HeadPlan(const HeadShape& s)
      : keys(RoundUp(s.tokens, 16)),
        rows(RoundUp(s.queries, kTileRows)),
        units(s.d / kElements),
        key_units(keys / kElements),
        row_units(rows / kElements),
        scale(1.0f / __builtin_sqrtf(static_cast<float>(s.d))) {}

  int64_t keys;   // tokens, padded to vectors
  int64_t rows;   // queries, padded to tiles
  int64_t units;  // of d
  int64_t key_units, row_units;
  float scale;

  static const Element* Elements(const float* units) {
    return reinterpret_cast<const Element*>(units);
  }
  int64_t packed_keys(int64_t d) const { return keys * d / kElements; }
  int64_t packed_rows(int64_t d) const { return RoundUp(rows * d / kElements, 16); }
  // P or dS as pairs, and what a tile may read past the last row.
  int64_t pairs() const { return row_units * keys + 16; }
};

constexpr float kLog2E = 1.44269504f;
constexpr float kNoScore = -INFINITY;  // of a padded key: below any other

// Hands out pieces of the scratch memory, each a whole number of cache lines.
struct Arena {
  float* next;
  float* Take(int64_t floats) {
    float* piece = next;
    next += RoundUp(floats, 16);
    return piece;
  }
};

template <typename T>
int64_t AttentionScratch(const HeadShape& s) {
  const HeadPlan<T> plan(s);
  const int64_t keys = plan.packed_keys(s.d), rows = plan.packed_rows(s.d);
  // Of the backward pass, which needs more.
  return 4 * keys + 4 * rows + 2 * plan.pairs() + (2 * kTileRows + 1) * plan.keys + 12 * 16;
}

// Of each row the largest score, then of each 1 / sum.
template <typename T>
int64_t AttentionSaved(const HeadShape& s) {
  return 2 * HeadPlan<T>(s).rows;
}

// P or dS of a tile's rows, times `scale` of each row, as pairs: the operand whose summed dimension
// is the row.
template <typename T>
inline void StorePairs(const float* rows, const float* scale, int64_t keys, float* pairs) {
  constexpr int kElements = UnitOf<T>::kElements;
  for (int r = 0; r < kTileRows; r += kElements, rows += kElements * keys, pairs += keys) {
    for (int64_t i = 0; i < keys; i += kWidth) {
      if constexpr (kElements == 1) {
        Store(pairs + i, Load(rows + i) * scale[r]);
      } else {
        const U low = RoundToBf16(Load(rows + i) * scale[r]);
        const U high = RoundToBf16(Load(rows + keys + i) * scale[r + 1]);
        Store(pairs + i, reinterpret_cast<F>(low | high << 16));
      }
    }
  }
}

// A vector of row r of a tile, from its pairs.
template <typename T>
inline F LoadFromPairs(const float* pairs, int r, int64_t keys, int64_t column) {
  const F units = Load(pairs + r / UnitOf<T>::kElements * keys + column);
  if constexpr (UnitOf<T>::kElements == 1) return units;
  const U bits = reinterpret_cast<U>(units);
  return reinterpret_cast<F>(r % 2 == 0 ? bits << 16 : bits & 0xffff0000);
}

// A tile's scores, in powers of 2: use(row, column, F). Those of padded keys weigh nothing.
template <typename T, typename Use>
inline void Scores(const HeadShape& s, const HeadPlan<T>& plan, const float* queries,
                   const float* keys, const Use& use) {
  Product<T>({queries, plan.units, 1}, keys, plan.keys, plan.units, plan.keys / kWidth,
             [&](int r, int64_t column, F x) {
               x *= plan.scale * kLog2E;
               if (column + kWidth > s.tokens) x = FirstOf(x, s.tokens - column, kNoScore);
               use(r, column, x);
             });
}

// `saved` (may be null): AttentionSaved floats.
template <typename T>
void Attention(const HeadShape& s, const T* q, const T* k, const T* v, T* o, float* saved,
               float* scratch) {
  using Element = typename UnitOf<T>::Element;
  const HeadPlan<T> plan(s);
  Arena arena{scratch};
  float* packed = arena.Take(plan.packed_keys(s.d));
  float* keys = arena.Take(plan.packed_keys(s.d));
  float* values = arena.Take(plan.packed_keys(s.d));
  float* queries = arena.Take(plan.packed_rows(s.d));
  float* scores = arena.Take(kTileRows * plan.keys);
  float* p = arena.Take(kTileRows * plan.key_units);
  PackRows<T>(q, s.qkv_stride, s.queries, plan.rows, s.d, queries);
  PackRows<T>(k, s.qkv_stride, s.tokens, plan.keys, s.d, packed);
  PackTransposed(packed, plan.units, plan.keys, plan.units, keys, plan.keys);
  PackRows<T>(v, s.qkv_stride, s.tokens, plan.keys, s.d, packed);
  PackPairs(plan.Elements(packed), s.d, plan.keys, s.d, values);

  for (int64_t row = 0; row < plan.rows; row += kTileRows) {
    F most[kTileRows];
    std::fill(most, most + kTileRows, Splat(kNoScore));
    Scores(s, plan, queries + row * plan.units, keys, [&](int r, int64_t column, F x) {
      most[r] = Max(most[r], x);
      Store(scores + r * plan.keys + column, x);
    });
    float over_sum[kTileRows];
    for (int r = 0; r < kTileRows; ++r) {
      const float* score = scores + r * plan.keys;
      const float top = MaxOf(most[r]);
      Element* to = reinterpret_cast<Element*>(p + r * plan.key_units);
      F sum = {};
      for (int64_t i = 0; i < plan.keys; i += kWidth) {
        const F x = Exp2<T>(Load(score + i) - top);
        sum += x;
        Store(to + i, x);
      }
      over_sum[r] = 1.0f / Sum(sum);
      if (saved != nullptr) {
        saved[row + r] = top;
        saved[plan.rows + row + r] = over_sum[r];
      }
    }
    Product<T>({p, plan.key_units, 1}, values, s.d, plan.key_units, s.d / kWidth,
               [&](int r, int64_t column, F x) {
                 if (row + r < s.queries)
                   Store(o + (row + r) * s.o_stride + column, x * over_sum[r]);
               });
  }
}

// `saved`: as forward left it.
template <typename T>
void AttentionBackward(const HeadShape& s, const T* q, const T* k, const T* v, const T* o,
                       const float* saved, const T* d_o, const HeadGradients<T>& gradients,
                       float* scratch) {
  using Element = typename UnitOf<T>::Element;
  const HeadPlan<T> plan(s);
  Arena arena{scratch};
  float* packed = arena.Take(plan.packed_keys(s.d));
  float* key_pairs = arena.Take(plan.packed_keys(s.d));
  float* values = arena.Take(plan.packed_keys(s.d));
  float* queries = arena.Take(plan.packed_rows(s.d));
  float* query_pairs = arena.Take(plan.packed_rows(s.d));
  float* d_out = arena.Take(plan.packed_rows(s.d));
  float* d_out_pairs = arena.Take(plan.packed_rows(s.d));
  float* keys = arena.Take(plan.packed_keys(s.d));
  float* p_pairs = arena.Take(plan.pairs());
  float* ds_pairs = arena.Take(plan.pairs());
  float* tile = arena.Take(kTileRows * plan.keys);
  float* ds_rows = arena.Take(kTileRows * plan.key_units);

  PackRows<T>(k, s.qkv_stride, s.tokens, plan.keys, s.d, packed);
  PackTransposed(packed, plan.units, plan.keys, plan.units, keys, plan.keys);
  PackPairs(plan.Elements(packed), s.d, plan.keys, s.d, key_pairs);
  PackRows<T>(v, s.qkv_stride, s.tokens, plan.keys, s.d, packed);
  PackTransposed(packed, plan.units, plan.keys, plan.units, values, plan.keys);
  PackRows<T>(q, s.qkv_stride, s.queries, plan.rows, s.d, queries);
  PackPairs(plan.Elements(queries), s.d, plan.rows, s.d, query_pairs);
  PackRows<T>(d_o, s.o_stride, s.queries, plan.rows, s.d, d_out);
  PackPairs(plan.Elements(d_out), s.d, plan.rows, s.d, d_out_pairs);

  float scale[kTileRows];
  std::fill(scale, scale + kTileRows, plan.scale);
  for (int64_t row = 0; row < plan.rows; row += kTileRows) {
    float delta[kTileRows] = {};
    for (int r = 0; r < kTileRows && row + r < s.queries; ++r) {
      F sum = {};
      for (int64_t i = 0; i < s.d; i += kWidth) {
        sum += Load(o + (row + r) * s.o_stride + i) * Load(d_o + (row + r) * s.o_stride + i);
      }
      delta[r] = Sum(sum);
    }
    const float *top = saved + row, *over_sum = saved + plan.rows + row;
    Scores(s, plan, queries + row * plan.units, keys, [&](int r, int64_t column, F x) {
      Store(tile + r * plan.keys + column, Exp2<T>(x - top[r]));
    });
    float* p = p_pairs + row / plan.kElements * plan.keys;
    StorePairs<T>(tile, over_sum, plan.keys, p);
    Product<T>({d_out + row * plan.units, plan.units, 1}, values, plan.keys, plan.units,
               plan.keys / kWidth, [&](int r, int64_t column, F x) {
                 const F y = LoadFromPairs<T>(p, r, plan.keys, column) * (x - delta[r]);
                 Store(tile + r * plan.keys + column, y);
                 Store(reinterpret_cast<Element*>(ds_rows + r * plan.key_units) + column,
                       y * plan.scale);
               });
    StorePairs<T>(tile, scale, plan.keys, ds_pairs + row / plan.kElements * plan.keys);
    Product<T>({ds_rows, plan.key_units, 1}, key_pairs, s.d, plan.key_units, s.d / kWidth,
               [&](int r, int64_t column, F x) {
                 if (row + r < s.queries) {
                   Store(gradients.dq + (row + r) * s.qkv_stride + column, x);
                 }
               });
  }
  for (int64_t row = 0; row < s.tokens; row += kTileRows) {
    const auto store = [&](T* to) {
      return [=, &s](int r, int64_t column, F x) {
        if (row + r < s.tokens) Store(to + (row + r) * s.qkv_stride + column, x);
      };
    };
    Product<T>({p_pairs + row, 1, plan.keys}, d_out_pairs, s.d, plan.row_units, s.d / kWidth,
               store(gradients.dv));
    Product<T>({ds_pairs + row, 1, plan.keys}, query_pairs, s.d, plan.row_units, s.d / kWidth,
               store(gradients.dk));
  }
  for (int64_t row = s.queries; row < s.tokens; ++row) {
    std::memset(gradients.dq + row * s.qkv_stride, 0, s.d * sizeof(T));
  }
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_ATTENTION_H_
