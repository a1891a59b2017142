// Vectors of floats of the width that this instruction set has, in GCC's vector types. Included
// only by instruction_set.cc's parts, which define QSWEEP_ISA.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_SIMD_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_SIMD_H_

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include "worker/engine/model/kernels/kernels.h"

namespace qsweep::engine::QSWEEP_ISA {

#if defined(__AVX512F__)
inline constexpr int kWidth = 16;
#elif defined(__AVX2__)
inline constexpr int kWidth = 8;
#else
inline constexpr int kWidth = 4;
#endif

typedef float F __attribute__((vector_size(4 * kWidth)));
typedef int32_t I __attribute__((vector_size(4 * kWidth)));
typedef uint32_t U __attribute__((vector_size(4 * kWidth)));
typedef uint16_t H __attribute__((vector_size(2 * kWidth)));
typedef int8_t C __attribute__((vector_size(kWidth)));

template <typename V, typename P>
inline V LoadBits(const P* p) {
  V v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

inline F Splat(float x) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(x);
#elif defined(__AVX2__)
  return _mm256_set1_ps(x);
#else
  return F{x, x, x, x};
#endif
}
// One float of memory in every element. By hand: GCC 12 loads it as a scalar and broadcasts the
// register, which takes the products' own pipes; from memory the load does it.
inline F SplatAt(const float* p) {
#if defined(__AVX512F__)
  F x;
  __asm__("vbroadcastss %1, %0" : "=v"(x) : "m"(*p));
  return x;
#else
  return Splat(*p);
#endif
}
inline F AsFloat(I x) { return __builtin_convertvector(x, F); }
inline U SplatBits(uint32_t x) { return reinterpret_cast<U>(I{} + static_cast<int32_t>(x)); }

// Between widths. By hand: GCC 12 converts halves of a vector, or numbers one by one.
inline U Widened(H x) {
#if defined(__AVX512F__)
  return reinterpret_cast<U>(_mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<U>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(x)));
#else
  return __builtin_convertvector(x, U);
#endif
}
inline I Widened(C x) {
#if defined(__AVX512F__)
  return reinterpret_cast<I>(_mm512_cvtepi8_epi32(reinterpret_cast<__m128i>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<I>(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(reinterpret_cast<int64_t>(x))));
#else
  return __builtin_convertvector(x, I);
#endif
}
// Of numbers that fit.
inline H Narrowed(U x) {
#if defined(__AVX512F__)
  return reinterpret_cast<H>(_mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(x)));
#elif defined(__AVX2__)
  const __m256i wide = reinterpret_cast<__m256i>(x);
  return reinterpret_cast<H>(
      _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1)));
#else
  return __builtin_convertvector(x, H);
#endif
}
inline C Narrowed(I x) {
#if defined(__AVX512F__)
  return reinterpret_cast<C>(_mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(x)));
#elif defined(__AVX2__)
  const __m256i wide = reinterpret_cast<__m256i>(x);
  const __m128i half =
      _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  return reinterpret_cast<C>(_mm_cvtsi128_si64(_mm_packs_epi16(half, half)));
#else
  return __builtin_convertvector(x, C);
#endif
}

inline F Load(const float* p) { return LoadBits<F>(p); }
inline F Load(const Bf16* p) { return reinterpret_cast<F>(Widened(LoadBits<H>(p)) << 16); }

inline void Store(float* p, F x) { std::memcpy(p, &x, sizeof(x)); }

// The 16 bits of the nearest bf16, ties to even, in the low half of each element.
inline U RoundToBf16(F x) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<U>(
      _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x))));
#else
  const U bits = reinterpret_cast<U>(x);
  const U nan = reinterpret_cast<U>(x != x);  // all ones: a sum could carry into its sign
  return ((bits + 0x7fff + ((bits >> 16) & 1)) | nan) >> 16;
#endif
}
inline void Store(Bf16* p, F x) {
#if defined(__AVX512BF16__)
  const __m256bh bits = _mm512_cvtneps_pbh(x);
#else
  const H bits = Narrowed(RoundToBf16(x));
#endif
  std::memcpy(p, &bits, sizeof(bits));
}

inline F Rounded(F x, const float*) { return x; }
inline F Rounded(F x, const Bf16*) { return reinterpret_cast<F>(RoundToBf16(x) << 16); }
// What `x` is once stored as T.
template <typename T>
inline F RoundedTo(F x) {
  return Rounded(x, static_cast<const T*>(nullptr));
}

inline F Max(F a, F b) { return a > b ? a : b; }
// The first n elements of x, then `rest`.
inline F FirstOf(F x, int64_t n, float rest) {
  I index;
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) index[i] = i;
  return index < static_cast<int32_t>(n) ? x : Splat(rest);
}

inline float Sum(F x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(x);
#else
  float sum = 0;
  for (int i = 0; i < kWidth; ++i) sum += x[i];
  return sum;
#endif
}
inline float MaxOf(F x) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(x);
#else
  float most = x[0];
  for (int i = 1; i < kWidth; ++i) most = x[i] > most ? x[i] : most;
  return most;
#endif
}

// 1 / x, to 2^-14 where T is rounded to 2^-9 anyway.
template <typename T>
inline F Reciprocal(F x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 2) return _mm512_rcp14_ps(x);
#endif
  return 1.0f / x;
}

// 2^f for |f| <= 1/2: minimax polynomials, off by 2e-9, or by 3e-6 for results rounded to bf16
// anyway.
template <typename T>
inline F Exp2OfFraction(F f) {
  if constexpr (sizeof(T) == 2) {
    F y = Splat(0.00957009941f) * f + 0.0559178591f;
    y = y * f + 0.240247443f;
    y = y * f + 0.693121791f;
    return y * f + 0.999999285f;
  } else {
    F y = Splat(0.000153458095f) * f + 0.00133999309f;
    y = y * f + 0.00961848907f;
    y = y * f + 0.0555032864f;
    y = y * f + 0.240226463f;
    y = y * f + 0.693147182f;
    return y * f + 1.0f;
  }
}

// 2^x for x at most 127. What would be below 2^-126 comes out as something no larger.
template <typename T>
inline F Exp2(F x) {
#if defined(__AVX512F__)
  const F f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT);
  return _mm512_scalef_ps(Exp2OfFraction<T>(f), x - f);
#else
  x = Max(Splat(-126.0f), x);          // this way round, for NaN to stay NaN
  const F magic = Splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const F shifted = x + magic;
  const F y = Exp2OfFraction<T>(x - (shifted - magic));
  return reinterpret_cast<F>(reinterpret_cast<U>(y) + (reinterpret_cast<U>(shifted) << 23));
#endif
}

}  // namespace qsweep::engine::QSWEEP_ISA

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_SIMD_H_
