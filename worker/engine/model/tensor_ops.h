// ops.h and matmul.h for devices whose memory our kernels do not reach (CUDA): the same functions,
// to rounding, in libtorch's own operations, which ops.cc and matmul.cc call for such tensors.
// Dropout masks are the same to the bit. fp16 is a compute type here as well; attention's `saved`
// holds the probabilities. Products round to their operands' type before an epilogue that adds in
// fp32.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_TENSOR_OPS_H_
#define QSWEEP_WORKER_ENGINE_MODEL_TENSOR_OPS_H_

#include <ATen/ATen.h>

#include <cstdint>

#include "worker/engine/model/matmul.h"
#include "worker/engine/model/ops.h"

namespace qsweep::engine::tensor_ops {

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                     double eps, at::ScalarType type, NormSaved* saved);
at::Tensor LayerNormOutput(const NormSaved& saved, const at::Tensor& gamma, const at::Tensor& beta);
StreamGradient LayerNormBackward(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& gamma, const at::Tensor& add);
void LayerNormParameterGradients(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& d_gamma, const at::Tensor& d_beta);

at::Tensor Gelu(const at::Tensor& u, bool keep_derivative);

at::Tensor Attention(const at::Tensor& qkv, int64_t heads, int64_t queries, at::Tensor* saved);
at::Tensor AttentionBackward(const at::Tensor& qkv, int64_t heads, const at::Tensor& o,
                             const at::Tensor& saved, const at::Tensor& d_o);

at::Tensor Dropout(const at::Tensor& x, const DropoutMask& mask);
void DropoutAdd(const at::Tensor& x, const DropoutMask& mask, const at::Tensor& to);

QuantizedRows QuantizeRows(const at::Tensor& x, const at::Tensor& columns, double threshold);
void FinishInt8(const at::Tensor& sums, const at::Tensor& row_scales, const at::Tensor& columns,
                const Epilogue& e, const at::Tensor& y);

void Matmul(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const Epilogue& e);
// c = epilogue(product).
void FinishProduct(const at::Tensor& product, const Epilogue& e, const at::Tensor& c);

}  // namespace qsweep::engine::tensor_ops

#endif  // QSWEEP_WORKER_ENGINE_MODEL_TENSOR_OPS_H_
