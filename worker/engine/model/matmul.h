// Matrix products in fp32 or bf16 with fp32 accumulation: large ones by our own kernel
// (tile_matmul.h), all others by oneDNN. libtorch would send fp32 products to BLAS, which Debian's
// OpenBLAS answers slowly on processors it does not know. Tensors elsewhere than on the CPU go to
// libtorch (tensor_ops.h), where they may be fp16 as well.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_MATMUL_H_
#define QSWEEP_WORKER_ENGINE_MODEL_MATMUL_H_

#include <ATen/ATen.h>

namespace qsweep::engine {

// What is done to each element of the fp32 accumulator before it is stored, in this order.
// Undefined tensors: nothing.
struct Epilogue {
  at::Tensor bias;      // [n], fp32, added
  at::Tensor add;       // [m, n], fp32 or the dtype of c, added; may be `c` itself
  at::Tensor multiply;  // [m, n], multiplied
};

// A product to add to another: left [m, r], right [r, n]. Undefined: nothing.
struct Factors {
  at::Tensor left, right;
};

// c = epilogue(a · b + more), a [m, k], b [k, n], c [m, n]. a and b share a dtype, fp32 or bf16,
// and c is either; or they are int8 and c int32, without an epilogue: on a processor with VNNI
// (others saturate in oneDNN). Each is a view with unit stride in one of its dimensions (c in the
// last), so a transposed operand costs nothing to name. Deterministic for a number of threads.
void Matmul(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
            const Epilogue& epilogue = {}, const Factors& more = {});

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_MATMUL_H_
