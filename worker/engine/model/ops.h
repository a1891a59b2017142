// The parts of a transformer block that are not matrix products, each with its hand-written
// backward pass. Activations are matrices of rows x features, contiguous, in the compute type (fp32
// or bf16); statistics, the residual stream and its gradient are fp32. Widths of rows and heads are
// multiples of 16. Tensors elsewhere than on the CPU go to tensor_ops.h, where fp16 is a compute
// type too. Rows are shared out among ThreadsHere() threads in equal runs, so results depend on
// that number and on nothing else.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_OPS_H_
#define QSWEEP_WORKER_ENGINE_MODEL_OPS_H_

#include <ATen/ATen.h>

#include <cstdint>

#include "worker/engine/base/random.h"
#include "worker/engine/model/matmul.h"

namespace qsweep::engine {

// --- LayerNorm: y = x̂·γ + β, x̂ = (x − mean) · rstd, rstd = 1 / sqrt(variance + eps)

struct NormSaved {
  at::Tensor xhat;  // [rows, dim], compute type
  at::Tensor rstd;  // [rows], fp32
};

// x fp32 -> y of `type`, computed from x̂ as rounded to it: what is made again is the same to the
// bit. `saved` may be null.
at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                     double eps, at::ScalarType type, NormSaved* saved);
// y again, from x̂.
at::Tensor LayerNormOutput(const NormSaved& saved, const at::Tensor& gamma, const at::Tensor& beta);

// A gradient of the residual stream, and the same in the compute type for the next product (the
// same tensor when that is fp32).
struct StreamGradient {
  at::Tensor wide;
  at::Tensor narrow;
};

// add + (dL/dx of the norm): dx = rstd · (g − mean(g) − x̂ · mean(g · x̂)), g = dy · γ. `add` may be
// undefined.
StreamGradient LayerNormBackward(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& gamma, const at::Tensor& add);

// Adds Σ dy · x̂ and Σ dy over the rows to fp32 [dim] each.
void LayerNormParameterGradients(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& d_gamma, const at::Tensor& d_beta);

// --- GELU with erf: g = u · Φ(u)

// Returns gelu(u). With `keep_derivative`, `u` then holds g'(u) = Φ(u) + u · φ(u), all that
// backward needs, at no memory of its own; otherwise u is spent.
at::Tensor Gelu(const at::Tensor& u, bool keep_derivative);

// --- Attention: o = softmax(q kᵀ / sqrt(d)) v, per image and head

// qkv [images, tokens, 3 * dim], as timm lays it out (q, k, v, then head, then d) -> o [images,
// queries, dim]: of the first `queries` tokens only. `saved` (may be null) gets what backward needs
// beside it, two numbers a row of scores; not the probabilities, which backward makes again.
at::Tensor Attention(const at::Tensor& qkv, int64_t heads, int64_t queries, at::Tensor* saved);
// dqkv, of qkv's shape; zero for the q of tokens past `queries`.
at::Tensor AttentionBackward(const at::Tensor& qkv, int64_t heads, const at::Tensor& o,
                             const at::Tensor& saved, const at::Tensor& d_o);

// --- Dropout

// Which mask: element e of sample s at a step is dropped as a function of (key, step, s, e) only.
// In groups of 128 elements, element e = 128 g + 32 w + 16 h + l belongs to half h (0: low) of word
// w of Philox(key, {16 g + l, s, step low, step high}); it is dropped when that half < threshold.
struct DropoutMask {
  PhiloxKey key;
  uint32_t threshold = 0;  // of 65536: round(p · 65536)
  int64_t step = 0;
  int64_t first_sample = 0;
  int64_t rows_per_sample = 1;
  // Kept elements are scaled by this: 1 / (1 - threshold / 65536).
  float scale() const { return 65536.0f / static_cast<float>(65536 - threshold); }
};

// mask · x · scale.
at::Tensor Dropout(const at::Tensor& x, const DropoutMask& mask);
// to += mask · x · scale.
void DropoutAdd(const at::Tensor& x, const DropoutMask& mask, const at::Tensor& to);

// --- What stands around a product of int8 codes (int8_matmul.h)

struct QuantizedRows {
  at::Tensor codes;   // [rows, dim], int8
  at::Tensor scales;  // [rows], fp32: a row's largest magnitude / 127
};

// x · columns (fp32 [dim]; undefined: 1) in codes. Elements of at least `threshold` (0: none) in
// magnitude count as zero.
QuantizedRows QuantizeRows(const at::Tensor& x, const at::Tensor& columns, double threshold);
// y = epilogue(sums · row_scales · columns), sums int32 [rows, dim], `columns` as above. e.add is
// fp32, e.multiply of y's dtype.
void FinishInt8(const at::Tensor& sums, const at::Tensor& row_scales, const at::Tensor& columns,
                const Epilogue& e, const at::Tensor& y);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_OPS_H_
