// Dropout by counters: whether an element is kept is a function of its place (DropoutMask, ops.h),
// so backward makes the mask again and nothing is stored. Philox4x32-10 (base/random.h, the
// reference) for as many counters at once as a vector has lanes; the mask's layout puts
// neighbouring elements into neighbouring lanes, so no bits are moved between lanes.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_DROPOUT_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_DROPOUT_H_

#include "worker/engine/model/kernels/simd.h"

namespace qsweep::engine::QSWEEP_ISA {

inline constexpr int kGroup = 128;  // elements of 16 Philox blocks: 16 lanes, 4 words, 2 halves

// The high and low halves of a 64-bit product.
inline void Multiply(U a, uint32_t b, U* high, U* low) {
#if defined(__AVX512F__)
  const __m512i va = reinterpret_cast<__m512i>(a), vb = _mm512_set1_epi32(static_cast<int>(b));
  const __m512i even = _mm512_mul_epu32(va, vb);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(va, 32), vb);
  *high = reinterpret_cast<U>(_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd));
  *low = a * b;
#elif defined(__AVX2__)
  const __m256i va = reinterpret_cast<__m256i>(a), vb = _mm256_set1_epi32(static_cast<int>(b));
  const __m256i even = _mm256_mul_epu32(va, vb);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(va, 32), vb);
  *high = reinterpret_cast<U>(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa));
  *low = a * b;
#else
  typedef uint64_t W __attribute__((vector_size(8 * kWidth)));
  const W product = __builtin_convertvector(a, W) * uint64_t{b};
  *high = __builtin_convertvector(product >> 32, U);
  *low = a * b;
#endif
}

struct Words {
  U word[4];
};

inline Words PhiloxLanes(const MaskSource& source, U block) {
  U c0 = block, c1 = SplatBits(source.sample), c2 = SplatBits(source.step_low),
    c3 = SplatBits(source.step_high);
  uint32_t k0 = source.key0, k1 = source.key1;
  for (int round = 0; round < 10; ++round) {
    U high0, low0, high1, low1;
    Multiply(c0, 0xD2511F53, &high0, &low0);
    Multiply(c2, 0xCD9E8D57, &high1, &low1);
    c0 = high1 ^ c1 ^ k0;
    c2 = high0 ^ c3 ^ k1;
    c1 = low1;
    c3 = low0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// 0 or source.scale for the elements of one group.
inline void GroupMask(const MaskSource& source, uint32_t group, float* mask) {
  U lane;
  for (int i = 0; i < kWidth; ++i) lane[i] = i;
  const F scale = Splat(source.scale), zero = {};
  for (uint32_t first = 0; first < 16; first += kWidth) {
    const Words words = PhiloxLanes(source, lane + (16 * group + first));
    for (int w = 0; w < 4; ++w) {
      const U low = words.word[w] & 0xffff, high = words.word[w] >> 16;
      Store(mask + 32 * w + first, low < source.threshold ? zero : scale);
      Store(mask + 32 * w + 16 + first, high < source.threshold ? zero : scale);
    }
  }
}

template <typename T, bool kAdd>
void Dropout(const MaskSource& source, int64_t first, int64_t n, const T* x, T* y) {
  alignas(64) float mask[kGroup];
  for (int64_t i = 0; i < n; i += kGroup) {
    GroupMask(source, static_cast<uint32_t>((first + i) / kGroup), mask);
    const int64_t here = n - i < kGroup ? n - i : kGroup;
    for (int64_t j = 0; j < here; j += kWidth) {
      F value = Load(x + i + j) * Load(mask + j);
      if (kAdd) value += Load(y + i + j);
      Store(y + i + j, value);
    }
  }
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_DROPOUT_H_
