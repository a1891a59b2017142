#include "worker/engine/model/kernels/kernels.h"

#include "worker/engine/base/cpu.h"

namespace qsweep::engine {

// In the order of InstructionSets(); each has what those before it have.
// clang-format off
#if defined(__x86_64__)
#define QSWEEP_FOR_ALL_SETS(do) do(baseline) do(avx2) do(avx512) do(avx512_vnni) do(avx512_bf16)
#else
#define QSWEEP_FOR_ALL_SETS(do) do(baseline)
#endif
// clang-format on

#define QSWEEP_DECLARE(isa)                  \
  namespace isa {                            \
  extern const Kernels<float> kFloatKernels; \
  extern const Kernels<Bf16> kBf16Kernels;   \
  }
QSWEEP_FOR_ALL_SETS(QSWEEP_DECLARE)
#undef QSWEEP_DECLARE

namespace {

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
#define QSWEEP_LIST(isa) &isa::kFloatKernels,
  static const Kernels<float>* const all[] = {QSWEEP_FOR_ALL_SETS(QSWEEP_LIST)};
#undef QSWEEP_LIST
  *count = SetsOfThisProcessor();
  return all;
}

template <>
const Kernels<Bf16>* const* AllKernels<Bf16>(int* count) {
#define QSWEEP_LIST(isa) &isa::kBf16Kernels,
  static const Kernels<Bf16>* const all[] = {QSWEEP_FOR_ALL_SETS(QSWEEP_LIST)};
#undef QSWEEP_LIST
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
