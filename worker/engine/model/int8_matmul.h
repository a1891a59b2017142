// Products of a frozen int8 weight with what is quantized on the way, row by row, so that they are
// of int8 codes: LLM.int8's forward (arXiv 2208.07339), and the gradient of its input likewise
// (SwitchBack, arXiv 2304.13013). Rows are quantized one by one, so a result does not depend on the
// batch.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_INT8_MATMUL_H_
#define QSWEEP_WORKER_ENGINE_MODEL_INT8_MATMUL_H_

#include <ATen/ATen.h>

#include "worker/engine/model/matmul.h"
#include "worker/engine/quant/quantized_weight.h"

namespace qsweep::engine {

// y = epilogue(x Wᵀ + more), x [rows, in] fp32 or bf16, y [rows, out] of x's dtype or fp32, with
// fp32 only an e.add; e.multiply undefined. A row with a number that is not finite gives NaN.
// Elements of x of at least `threshold` (0: none) in magnitude are multiplied in x's dtype, for one
// of them would coarsen its whole row. LLM.int8 so treats whole columns.
void Int8Forward(const at::Tensor& x, const QuantizedWeight& weight, double threshold,
                 const Epilogue& e, const Factors& more, const at::Tensor& y);

// dx = epilogue(dy W + more). The rows' scales of W go into dy before that is quantized.
void Int8Backward(const at::Tensor& dy, const QuantizedWeight& weight, const Epilogue& e,
                  const Factors& more, const at::Tensor& dx);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_INT8_MATMUL_H_
