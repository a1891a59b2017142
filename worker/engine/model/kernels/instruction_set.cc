// All kernels for one instruction set: CMake compiles this file once for each, with QSWEEP_ISA its
// name.
#include "worker/engine/model/kernels/attention.h"
#include "worker/engine/model/kernels/dropout.h"
#include "worker/engine/model/kernels/gelu.h"
#include "worker/engine/model/kernels/int8.h"
#include "worker/engine/model/kernels/kernels.h"
#include "worker/engine/model/kernels/layer_norm.h"
#include "worker/engine/model/kernels/matmul.h"

#define QSWEEP_STRING_INNER(x) #x
#define QSWEEP_STRING(x) QSWEEP_STRING_INNER(x)

namespace qsweep::engine::QSWEEP_ISA {

template <typename T>
constexpr Kernels<T> Table() {
  return {QSWEEP_STRING(QSWEEP_ISA), LayerNorm<T>,           LayerNormOutput<T>,
          LayerNormBackward<T>,      LayerNormParameters<T>, Gelu<T>,
          AttentionScratch<T>,       AttentionSaved<T>,      Attention<T>,
          AttentionBackward<T>,      Dropout<T, false>,      Dropout<T, true>,
          QuantizeRows<T>,           FinishInt8<T>,          Division<T, T>,
          Matmul<T, T, float>,       Matmul<T, T, T>,        Division<T, int8_t>,
          Matmul<T, int8_t, float>,  Matmul<T, int8_t, T>};
}

extern const Kernels<float> kFloatKernels;
extern const Kernels<Bf16> kBf16Kernels;
const Kernels<float> kFloatKernels = Table<float>();
const Kernels<Bf16> kBf16Kernels = Table<Bf16>();

}  // namespace qsweep::engine::QSWEEP_ISA
