#include "worker/engine/quant/dequantize.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "worker/engine/base/cpu.h"

namespace qsweep::engine {
namespace {

template <typename T>
void FourBit(const uint8_t* packed, const float* scales, const float* table, int64_t count,
             int64_t blocksize, void* out) {
  for (int64_t i = 0; i < count; ++i) {
    const int code = i % 2 == 0 ? packed[i / 2] >> 4 : packed[i / 2] & 15;
    static_cast<T*>(out)[i] = static_cast<T>(table[code] * scales[i / blocksize]);
  }
}

template <typename T>
void EightBit(const int8_t* codes, float scale, int64_t count, void* out) {
  for (int64_t i = 0; i < count; ++i) {
    static_cast<T*>(out)[i] = static_cast<T>(static_cast<float>(codes[i]) * scale * (1.0f / 127));
  }
}

}  // namespace

const DequantizeKernels kScalarKernels = {
    "scalar",
    {&FourBit<float>, &FourBit<c10::BFloat16>, &FourBit<c10::Half>},
    {&EightBit<float>, &EightBit<c10::BFloat16>, &EightBit<c10::Half>},
};

const std::vector<DequantizeKernels>& UsableDequantizeKernels() {
  static const std::vector<DequantizeKernels> usable = [] {
    std::vector<DequantizeKernels> found = {kScalarKernels};
#if defined(__x86_64__)
    if (CpuHas("avx2")) found.push_back(kAvx2Kernels);
    if (CpuHas("avx512")) found.push_back(kAvx512Kernels);
#endif
    return found;
  }();
  return usable;
}

}  // namespace qsweep::engine
