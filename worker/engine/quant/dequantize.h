// Kernels that expand codes into numbers: a scalar reference and one set per instruction set, all
// of which give the same bits: fp32 product of code value and scale, then rounded to the output's
// type, to nearest even.
#ifndef QSWEEP_WORKER_ENGINE_QUANT_DEQUANTIZE_H_
#define QSWEEP_WORKER_ENGINE_QUANT_DEQUANTIZE_H_

#include <cstdint>
#include <vector>

namespace qsweep::engine {

enum class OutType { kFloat32, kBFloat16, kFloat16, kCount };
inline constexpr int kOutTypes = static_cast<int>(OutType::kCount);

// `count` 4-bit codes from a block's start on, the first in the high nibble of packed[0]. Element i
// has the scale scales[i / blocksize] and the value table[code] * scale. blocksize is a multiple of
// 32, count may be any.
using FourBitKernel = void (*)(const uint8_t* packed, const float* scales, const float* table,
                               int64_t count, int64_t blocksize, void* out);
// `count` int8 codes under one scale: (code * scale) * (1/127).
using EightBitKernel = void (*)(const int8_t* codes, float scale, int64_t count, void* out);

struct DequantizeKernels {
  const char* instruction_set;  // scalar, avx2, avx512
  FourBitKernel four_bit[kOutTypes];
  EightBitKernel eight_bit[kOutTypes];
};

// Those this CPU can run, the fastest last; the first is the scalar reference.
const std::vector<DequantizeKernels>& UsableDequantizeKernels();

// For UsableDequantizeKernels: the files of the instruction sets.
extern const DequantizeKernels kScalarKernels, kAvx2Kernels, kAvx512Kernels;

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QUANT_DEQUANTIZE_H_
