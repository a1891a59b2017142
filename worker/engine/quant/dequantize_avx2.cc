// As the AVX-512 kernels: per block 16 products, from which a code selects. fp32: two permutes of
// eight and a blend; 16 bit: one byte shuffle for the low bytes, one for the high.
#include <immintrin.h>

#include <algorithm>
#include <type_traits>

#include "worker/engine/quant/dequantize.h"

#define QSWEEP_AVX2 __attribute__((target("avx2,fma,f16c")))

namespace qsweep::engine {
namespace {

// 8 fp32 to bf16 in the low half of each lane, to nearest even. Finite numbers only.
QSWEEP_AVX2 inline __m256i ToBFloat16(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  return _mm256_srli_epi32(rounded, 16);
}

template <OutType kOut>
QSWEEP_AVX2 inline __m256i To16Bit(__m256 low, __m256 high) {
  if constexpr (kOut == OutType::kBFloat16) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(ToBFloat16(low), ToBFloat16(high)),
                                    _MM_SHUFFLE(3, 1, 2, 0));
  } else {
    return _mm256_set_m128i(_mm256_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT),
                            _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT));
  }
}

QSWEEP_AVX2 inline __m256 Select8(__m256i codes, __m256 low, __m256 high) {
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, codes),
                          _mm256_permutevar8x32_ps(high, codes),
                          _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)));
}

QSWEEP_AVX2 void FourBit32(const uint8_t* packed, const float* scales, const float* table,
                           int64_t count, int64_t blocksize, void* out) {
  const __m256 low_values = _mm256_loadu_ps(table), high_values = _mm256_loadu_ps(table + 8);
  // Lanes 2j and 2j + 1 take the high and the low nibble of byte j.
  const __m256i shifts = _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24);
  float* to = static_cast<float*>(out);
  for (int64_t begin = 0; begin < count; begin += blocksize) {
    const __m256 scale = _mm256_set1_ps(scales[begin / blocksize]);
    const __m256 low = _mm256_mul_ps(low_values, scale), high = _mm256_mul_ps(high_values, scale);
    const int64_t end = std::min(begin + blocksize, count);
    int64_t i = begin;
    for (; i + 8 <= end; i += 8) {
      int32_t bytes;
      __builtin_memcpy(&bytes, packed + i / 2, sizeof bytes);
      const __m256i nibbles = _mm256_srlv_epi32(_mm256_set1_epi32(bytes), shifts);
      _mm256_storeu_ps(to + i,
                       Select8(_mm256_and_si256(nibbles, _mm256_set1_epi32(15)), low, high));
    }
    if (i < end) {
      kScalarKernels.four_bit[static_cast<int>(OutType::kFloat32)](
          packed + i / 2, scales + begin / blocksize, table, end - i, blocksize, to + i);
    }
  }
}

template <OutType kOut>
QSWEEP_AVX2 void FourBit16(const uint8_t* packed, const float* scales, const float* table,
                           int64_t count, int64_t blocksize, void* out) {
  const __m256 low_values = _mm256_loadu_ps(table), high_values = _mm256_loadu_ps(table + 8);
  const __m256i low_byte = _mm256_set1_epi16(0xff);
  const __m128i nibble = _mm_set1_epi8(15);
  uint16_t* to = static_cast<uint16_t*>(out);
  for (int64_t begin = 0; begin < count; begin += blocksize) {
    const __m256 scale = _mm256_set1_ps(scales[begin / blocksize]);
    const __m256i products =
        To16Bit<kOut>(_mm256_mul_ps(low_values, scale), _mm256_mul_ps(high_values, scale));
    // The 16 low bytes, then the 16 high bytes, each in both 128-bit lanes.
    const __m256i lows = _mm256_and_si256(products, low_byte);
    const __m256i highs = _mm256_srli_epi16(products, 8);
    const __m256i bytes =
        _mm256_permute4x64_epi64(_mm256_packus_epi16(lows, highs), _MM_SHUFFLE(3, 1, 2, 0));
    const __m256i low_table = _mm256_permute2x128_si256(bytes, bytes, 0x00);
    const __m256i high_table = _mm256_permute2x128_si256(bytes, bytes, 0x11);
    const int64_t end = std::min(begin + blocksize, count);
    int64_t i = begin;
    for (; i + 32 <= end; i += 32) {
      const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + i / 2));
      const __m128i first = _mm_and_si128(_mm_srli_epi16(pairs, 4), nibble);
      const __m128i second = _mm_and_si128(pairs, nibble);
      const __m256i codes =
          _mm256_set_m128i(_mm_unpackhi_epi8(first, second), _mm_unpacklo_epi8(first, second));
      const __m256i low = _mm256_shuffle_epi8(low_table, codes);
      const __m256i high = _mm256_shuffle_epi8(high_table, codes);
      const __m256i a = _mm256_unpacklo_epi8(low, high);  // elements 0..7 and 16..23
      const __m256i b = _mm256_unpackhi_epi8(low, high);  // elements 8..15 and 24..31
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i),
                          _mm256_permute2x128_si256(a, b, 0x20));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i + 16),
                          _mm256_permute2x128_si256(a, b, 0x31));
    }
    if (i < end) {
      kScalarKernels.four_bit[static_cast<int>(kOut)](packed + i / 2, scales + begin / blocksize,
                                                      table, end - i, blocksize, to + i);
    }
  }
}

QSWEEP_AVX2 inline __m256 Load8(const int8_t* codes, __m256 scale) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes));
  const __m256 numbers = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  return _mm256_mul_ps(_mm256_mul_ps(numbers, scale), _mm256_set1_ps(1.0f / 127));
}

template <OutType kOut>
QSWEEP_AVX2 void EightBit(const int8_t* codes, float scale, int64_t count, void* out) {
  using Element = std::conditional_t<kOut == OutType::kFloat32, float, uint16_t>;
  Element* to = static_cast<Element*>(out);
  const __m256 scales = _mm256_set1_ps(scale);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256 low = Load8(codes + i, scales), high = Load8(codes + i + 8, scales);
    if constexpr (kOut == OutType::kFloat32) {
      _mm256_storeu_ps(to + i, low);
      _mm256_storeu_ps(to + i + 8, high);
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), To16Bit<kOut>(low, high));
    }
  }
  kScalarKernels.eight_bit[static_cast<int>(kOut)](codes + i, scale, count - i, to + i);
}

}  // namespace

const DequantizeKernels kAvx2Kernels = {
    "avx2",
    {&FourBit32, &FourBit16<OutType::kBFloat16>, &FourBit16<OutType::kFloat16>},
    {&EightBit<OutType::kFloat32>, &EightBit<OutType::kBFloat16>, &EightBit<OutType::kFloat16>},
};

}  // namespace qsweep::engine
