// ops.h and matmul.h for devices whose memory our kernels do not reach (CUDA): the same functions,
// to rounding, in libtorch's own operations, which ops.cc and matmul.cc call for such tensors.
// Dropout masks are the same to the bit. fp16 is a compute type here as well; attention's `saved`
// stays undefined. Products round to their operands' type before an epilogue that adds in fp32.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_TENSOR_OPS_H_
#define QSWEEP_WORKER_ENGINE_MODEL_TENSOR_OPS_H_

#include <ATen/ATen.h>

#include "worker/engine/model/matmul.h"
#include "worker/engine/model/ops.h"

namespace qsweep::engine::tensor_ops {

decltype(engine::LayerNorm) LayerNorm;
decltype(engine::LayerNormOutput) LayerNormOutput;
decltype(engine::LayerNormBackward) LayerNormBackward;
decltype(engine::LayerNormParameterGradients) LayerNormParameterGradients;
decltype(engine::Gelu) Gelu;
decltype(engine::Attention) Attention;
decltype(engine::AttentionBackward) AttentionBackward;
decltype(engine::Dropout) Dropout;
decltype(engine::DropoutAdd) DropoutAdd;
decltype(engine::QuantizeRows) QuantizeRows;
decltype(engine::FinishInt8) FinishInt8;
decltype(engine::Matmul) Matmul;

// c = epilogue(product).
void FinishProduct(const at::Tensor& product, const Epilogue& e, const at::Tensor& c);

}  // namespace qsweep::engine::tensor_ops

#endif  // QSWEEP_WORKER_ENGINE_MODEL_TENSOR_OPS_H_
