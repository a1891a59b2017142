// Per block the 16 products of table and scale are made once; a code then only selects one of them:
// 16 fp32 numbers by one vpermps, or 32 16-bit numbers by one vpermw.
#include <immintrin.h>

#include <algorithm>

#include "worker/engine/quant/dequantize.h"

#define QSWEEP_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,f16c")))

namespace qsweep::engine {
namespace {

// Bytes of codes to ask for ahead: they come from beyond the second level of caches.
constexpr int64_t kAhead = 1024;

// 16 fp32 to bf16, to nearest even. (vcvtneps2bf16 would flush denormal numbers.) Finite numbers
// only.
QSWEEP_AVX512 inline __m256i ToBFloat16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

template <OutType kOut>
QSWEEP_AVX512 inline __m256i To16Bit(__m512 x) {
  if constexpr (kOut == OutType::kBFloat16) {
    return ToBFloat16(x);
  } else {
    return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
}

// The low `n` <= 8 (16) bytes, the others 0; reads no byte beyond them.
QSWEEP_AVX512 inline __m128i LoadBytes(const uint8_t* from, int64_t n) {
  return _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << n) - 1), from);
}

QSWEEP_AVX512 void FourBit32(const uint8_t* packed, const float* scales, const float* table,
                             int64_t count, int64_t blocksize, void* out) {
  const __m512 values = _mm512_loadu_ps(table);
  float* to = static_cast<float*>(out);
  for (int64_t begin = 0; begin < count; begin += blocksize) {
    const __m512 products = _mm512_mul_ps(values, _mm512_set1_ps(scales[begin / blocksize]));
    const int64_t end = std::min(begin + blocksize, count);
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed + i / 2));
      // A byte makes a pair of lanes; vpermps looks at four bits of a lane.
      const __m512i pairs = _mm512_cvtepu8_epi64(bytes);
      const __m512i codes =
          _mm512_or_si512(_mm512_srli_epi64(pairs, 4), _mm512_slli_epi64(pairs, 32));
      _mm512_storeu_ps(to + i, _mm512_permutexvar_ps(codes, products));
    }
    if (i < end) {
      const __m512i pairs = _mm512_cvtepu8_epi64(LoadBytes(packed + i / 2, (end - i + 1) / 2));
      const __m512i codes =
          _mm512_or_si512(_mm512_srli_epi64(pairs, 4), _mm512_slli_epi64(pairs, 32));
      _mm512_mask_storeu_ps(to + i, static_cast<__mmask16>((1u << (end - i)) - 1),
                            _mm512_permutexvar_ps(codes, products));
    }
  }
}

template <OutType kOut>
QSWEEP_AVX512 void FourBit16(const uint8_t* packed, const float* scales, const float* table,
                             int64_t count, int64_t blocksize, void* out) {
  const __m512 values = _mm512_loadu_ps(table);
  uint16_t* to = static_cast<uint16_t*>(out);
  for (int64_t begin = 0; begin < count; begin += blocksize) {
    // Twice the same 16 products: vpermw looks at five bits of a lane, the fifth is a neighbour's.
    const __m512i products = _mm512_broadcast_i64x4(
        To16Bit<kOut>(_mm512_mul_ps(values, _mm512_set1_ps(scales[begin / blocksize]))));
    const int64_t end = std::min(begin + blocksize, count);
    int64_t i = begin;
    for (; i + 32 <= end; i += 32) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + i / 2));
      const __m512i pairs = _mm512_cvtepu8_epi32(bytes);
      const __m512i codes =
          _mm512_or_si512(_mm512_srli_epi32(pairs, 4), _mm512_slli_epi32(pairs, 16));
      _mm512_storeu_si512(to + i, _mm512_permutexvar_epi16(codes, products));
    }
    if (i < end) {
      const __m512i pairs = _mm512_cvtepu8_epi32(LoadBytes(packed + i / 2, (end - i + 1) / 2));
      const __m512i codes =
          _mm512_or_si512(_mm512_srli_epi32(pairs, 4), _mm512_slli_epi32(pairs, 16));
      _mm512_mask_storeu_epi16(to + i, static_cast<__mmask32>((uint64_t{1} << (end - i)) - 1),
                               _mm512_permutexvar_epi16(codes, products));
    }
  }
}

// 16 codes to out + at; those that the mask leaves out are not written.
template <OutType kOut>
QSWEEP_AVX512 inline void Expand16(__m128i codes, __m512 scale, __mmask16 mask, void* out,
                                   int64_t at) {
  const __m512 numbers = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));
  const __m512 product = _mm512_mul_ps(_mm512_mul_ps(numbers, scale), _mm512_set1_ps(1.0f / 127));
  if constexpr (kOut == OutType::kFloat32) {
    _mm512_mask_storeu_ps(static_cast<float*>(out) + at, mask, product);
  } else {
    _mm256_mask_storeu_epi16(static_cast<uint16_t*>(out) + at, mask, To16Bit<kOut>(product));
  }
}

template <OutType kOut>
QSWEEP_AVX512 void EightBit(const int8_t* codes, float scale, int64_t count, void* out) {
  const __m512 scales = _mm512_set1_ps(scale);
  int64_t i = 0;
  for (; i + 64 <= count; i += 64) {
    _mm_prefetch(codes + i + kAhead, _MM_HINT_T0);
    for (int part = 0; part < 64; part += 16) {
      const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i + part));
      Expand16<kOut>(some, scales, 0xffff, out, i + part);
    }
  }
  for (; i < count; i += 16) {
    const int64_t n = std::min<int64_t>(count - i, 16);
    const __mmask16 mask = static_cast<__mmask16>((1u << n) - 1);
    Expand16<kOut>(_mm_maskz_loadu_epi8(mask, codes + i), scales, mask, out, i);
  }
}

}  // namespace

const DequantizeKernels kAvx512Kernels = {
    "avx512",
    {&FourBit32, &FourBit16<OutType::kBFloat16>, &FourBit16<OutType::kFloat16>},
    {&EightBit<OutType::kFloat32>, &EightBit<OutType::kBFloat16>, &EightBit<OutType::kFloat16>},
};

}  // namespace qsweep::engine
