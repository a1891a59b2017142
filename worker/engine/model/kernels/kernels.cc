#include "worker/engine/model/kernels/kernels.h"

#include "worker/engine/base/cpu.h"

namespace qsweep::engine {

#define QSWEEP_DECLARE(isa)                  \
  namespace isa {                            \
  extern const Kernels<float> kFloatKernels; \
  extern const Kernels<Bf16> kBf16Kernels;   \
  }
QSWEEP_DECLARE(sse2)
QSWEEP_DECLARE(avx2)
QSWEEP_DECLARE(avx512)
QSWEEP_DECLARE(avx512_vnni)
QSWEEP_DECLARE(avx512_bf16)
#undef QSWEEP_DECLARE

namespace {

// Each has what those before it have.
int SetsOfThisProcessor() {
  int sets = 1;
  for (const char* needs : {"avx2", "avx512", "avx512_vnni", "avx512_bf16"}) {
    if (!CpuHas(needs)) break;
    ++sets;
  }
  return sets;
}

}  // namespace

template <>
const Kernels<float>* const* AllKernels<float>(int* count) {
  static const Kernels<float>* const all[] = {&sse2::kFloatKernels, &avx2::kFloatKernels,
                                              &avx512::kFloatKernels, &avx512_vnni::kFloatKernels,
                                              &avx512_bf16::kFloatKernels};
  *count = SetsOfThisProcessor();
  return all;
}

template <>
const Kernels<Bf16>* const* AllKernels<Bf16>(int* count) {
  static const Kernels<Bf16>* const all[] = {&sse2::kBf16Kernels, &avx2::kBf16Kernels,
                                             &avx512::kBf16Kernels, &avx512_vnni::kBf16Kernels,
                                             &avx512_bf16::kBf16Kernels};
  *count = SetsOfThisProcessor();
  return all;
}

template <typename T>
const Kernels<T>& BestKernels() {
  static const Kernels<T>& best = []() -> const Kernels<T>& {
    int count = 0;
    const Kernels<T>* const* all = AllKernels<T>(&count);
    return *all[count - 1];
  }();
  return best;
}

template const Kernels<float>& BestKernels<float>();
template const Kernels<Bf16>& BestKernels<Bf16>();

}  // namespace qsweep::engine
