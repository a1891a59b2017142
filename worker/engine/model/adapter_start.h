// What an adapter begins with beside PEFT's default: the pair (A, B) whose s · B A is the best
// approximation of its rank to a matrix.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_ADAPTER_START_H_
#define QSWEEP_WORKER_ENGINE_MODEL_ADAPTER_START_H_

#include <ATen/ATen.h>

#include <cstdint>

namespace qsweep::engine {

struct AdapterPair {
  at::Tensor a;  // fp32 [rank, in]
  at::Tensor b;  // fp32 [out, rank]
};

// From the singular value decomposition U S Vᵀ of `matrix` (fp32 [out, in]): with S' = S / scaling,
// B = U √S' and A = √S' Vᵀ, of the `rank` largest (PEFT: tuners/lora/layer.py, pissa_init). Signs
// are fixed (the largest element of a row of A is positive), so that nothing depends on the
// library.
AdapterPair LowRankPair(const at::Tensor& matrix, int64_t rank, double scaling);

// scaling · B A, in double, rounded to fp32.
at::Tensor AdapterProduct(const AdapterPair& pair, double scaling);

// The Frobenius norm of s · (B A − B0 A0) without making the matrices; `start` may be undefined: 0.
double AdapterChangeNorm(const AdapterPair& now, const AdapterPair& start, double scaling);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_ADAPTER_START_H_
