#include "worker/engine/model/ops.h"

#include <algorithm>

#include "worker/engine/base/threads.h"
#include "worker/engine/model/kernel_call.h"
#include "worker/engine/model/kernels/kernels.h"
#include "worker/engine/model/tensor_ops.h"

namespace qsweep::engine {
namespace {

// Fewer elements than this are not worth waking a second thread for.
constexpr int64_t kGrainElements = 16384;
// Of dropout's work: a whole number of its groups.
constexpr int64_t kPieceElements = 32 * 128;

// work(begin, end) over rows.
template <typename Work>
void ForRows(int64_t rows, int64_t dim, const Work& work) {
  QSWEEP_CHECK(dim % kKernelMultiple == 0);
  at::parallel_for(0, rows, std::max<int64_t>(1, kGrainElements / dim), work);
}

}  // namespace

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                     double eps, at::ScalarType type, NormSaved* saved) {
  if (!x.is_cpu()) return tensor_ops::LayerNorm(x, gamma, beta, eps, type, saved);
  const int64_t rows = x.size(0), dim = x.size(1);
  const at::Tensor y = at::empty({rows, dim}, type);
  NormSaved kept;
  if (saved != nullptr)
    *saved = kept = {at::empty({rows, dim}, type), at::empty({rows}, at::kFloat)};
  WithType(type, [&](auto t) {
    using T = decltype(t);
    const float* from = Data<float>(x);
    T *xhat = Data<T>(kept.xhat), *to = Data<T>(y);
    float* rstd = Data<float>(kept.rstd);
    ForRows(rows, dim, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * dim;
      BestKernels<T>().layer_norm(end - begin, dim, from + at, Data<float>(gamma),
                                  Data<float>(beta), static_cast<float>(eps),
                                  xhat ? xhat + at : nullptr, rstd ? rstd + begin : nullptr,
                                  to + at);
    });
  });
  return y;
}

at::Tensor LayerNormOutput(const NormSaved& saved, const at::Tensor& gamma,
                           const at::Tensor& beta) {
  if (!beta.is_cpu()) return tensor_ops::LayerNormOutput(saved, gamma, beta);
  const int64_t rows = saved.xhat.size(0), dim = saved.xhat.size(1);
  const at::Tensor y = at::empty_like(saved.xhat);
  WithType(y.scalar_type(), [&](auto t) {
    using T = decltype(t);
    ForRows(rows, dim, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * dim;
      BestKernels<T>().layer_norm_output(end - begin, dim, Data<T>(saved.xhat) + at,
                                         Data<float>(gamma), Data<float>(beta), Data<T>(y) + at);
    });
  });
  return y;
}

StreamGradient LayerNormBackward(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& gamma, const at::Tensor& add) {
  if (!dy.is_cpu()) return tensor_ops::LayerNormBackward(dy, saved, gamma, add);
  const int64_t rows = dy.size(0), dim = dy.size(1);
  StreamGradient dx;
  dx.wide = at::empty({rows, dim}, at::kFloat);
  const bool narrows = dy.scalar_type() != at::kFloat;
  dx.narrow = narrows ? at::empty_like(dy) : dx.wide;
  WithType(dy.scalar_type(), [&](auto t) {
    using T = decltype(t);
    const float* other = Data<float>(add);
    ForRows(rows, dim, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * dim;
      BestKernels<T>().layer_norm_backward(
          end - begin, dim, Data<T>(dy) + at, Data<T>(saved.xhat) + at,
          Data<float>(saved.rstd) + begin, Data<float>(gamma), other ? other + at : nullptr,
          Data<float>(dx.wide) + at, narrows ? Data<T>(dx.narrow) + at : nullptr);
    });
  });
  return dx;
}

void LayerNormParameterGradients(const at::Tensor& dy, const NormSaved& saved,
                                 const at::Tensor& d_gamma, const at::Tensor& d_beta) {
  if (!dy.is_cpu()) return tensor_ops::LayerNormParameterGradients(dy, saved, d_gamma, d_beta);
  const int64_t rows = dy.size(0), dim = dy.size(1), parts = ThreadsHere();
  const at::Tensor sums = at::zeros({2, parts, dim}, at::kFloat);
  WithType(dy.scalar_type(), [&](auto t) {
    using T = decltype(t);
    at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; ++part) {
        const int64_t begin = rows * part / parts, end = rows * (part + 1) / parts;
        BestKernels<T>().layer_norm_parameters(
            end - begin, dim, Data<T>(dy) + begin * dim, Data<T>(saved.xhat) + begin * dim,
            Data<float>(sums) + part * dim, Data<float>(sums) + (parts + part) * dim);
      }
    });
  });
  d_gamma.add_(sums[0].sum(0));
  d_beta.add_(sums[1].sum(0));
}

at::Tensor Gelu(const at::Tensor& u, bool keep_derivative) {
  if (!u.is_cpu()) return tensor_ops::Gelu(u, keep_derivative);
  const at::Tensor g = at::empty_like(u);
  WithType(u.scalar_type(), [&](auto t) {
    using T = decltype(t);
    at::parallel_for(0, u.numel(), kGrainElements, [&](int64_t begin, int64_t end) {
      BestKernels<T>().gelu(end - begin, Data<T>(u) + begin, Data<T>(g) + begin, keep_derivative);
    });
  });
  return g;
}

namespace {

HeadShape ShapeOf(const at::Tensor& qkv, int64_t heads, int64_t queries) {
  const int64_t dim = qkv.size(2) / 3;
  QSWEEP_CHECK(qkv.is_contiguous() && dim % heads == 0 && dim / heads % kKernelMultiple == 0);
  return {qkv.size(1), queries, dim / heads, 3 * dim, dim};
}

// work(image, head, scratch) for every head, on all threads.
template <typename T, typename Work>
void ForHeads(const HeadShape& shape, int64_t images, int64_t heads, const Work& work) {
  const int64_t floats = BestKernels<T>().attention_scratch(shape);
  ForParts(images * heads, floats, [&](int64_t begin, int64_t end, float* scratch) {
    for (int64_t i = begin; i < end; ++i) work(i / heads, i % heads, scratch);
  });
}

}  // namespace

at::Tensor Attention(const at::Tensor& qkv, int64_t heads, int64_t queries, at::Tensor* saved) {
  if (!qkv.is_cpu()) return tensor_ops::Attention(qkv, heads, queries, saved);
  const HeadShape shape = ShapeOf(qkv, heads, queries);
  const int64_t images = qkv.size(0), dim = heads * shape.d;
  const at::Tensor o = at::empty({images, queries, dim}, qkv.scalar_type());
  WithType(qkv.scalar_type(), [&](auto t) {
    using T = decltype(t);
    const int64_t floats = BestKernels<T>().attention_saved(shape);
    if (saved != nullptr) *saved = at::empty({images * heads, floats}, at::kFloat);
    float* kept = saved != nullptr ? Data<float>(*saved) : nullptr;
    ForHeads<T>(shape, images, heads, [&](int64_t image, int64_t head, float* scratch) {
      const T* q = Data<T>(qkv) + image * shape.tokens * shape.qkv_stride + head * shape.d;
      T* to = Data<T>(o) + image * queries * dim + head * shape.d;
      BestKernels<T>().attention(shape, q, q + dim, q + 2 * dim, to,
                                 kept ? kept + (image * heads + head) * floats : nullptr, scratch);
    });
  });
  return o;
}

at::Tensor AttentionBackward(const at::Tensor& qkv, int64_t heads, const at::Tensor& o,
                             const at::Tensor& saved, const at::Tensor& d_o) {
  if (!qkv.is_cpu()) return tensor_ops::AttentionBackward(qkv, heads, o, saved, d_o);
  const int64_t images = qkv.size(0), queries = o.size(1), dim = o.size(2);
  const HeadShape shape = ShapeOf(qkv, heads, queries);
  const at::Tensor d_qkv = at::empty_like(qkv);
  WithType(qkv.scalar_type(), [&](auto t) {
    using T = decltype(t);
    ForHeads<T>(shape, images, heads, [&](int64_t image, int64_t head, float* scratch) {
      const int64_t at = image * shape.tokens * shape.qkv_stride + head * shape.d;
      const int64_t o_at = image * queries * dim + head * shape.d;
      const T* q = Data<T>(qkv) + at;
      T* dq = Data<T>(d_qkv) + at;
      BestKernels<T>().attention_backward(
          shape, q, q + dim, q + 2 * dim, Data<T>(o) + o_at,
          Data<float>(saved) + (image * heads + head) * saved.size(1), Data<T>(d_o) + o_at,
          {dq, dq + dim, dq + 2 * dim}, scratch);
    });
  });
  return d_qkv;
}

namespace {

// kernel(source, first, n, x, y) over pieces of samples; `pick` takes it from the table.
template <typename Pick>
void ForPieces(const at::Tensor& x, const DropoutMask& mask, const at::Tensor& y,
               const Pick& pick) {
  const int64_t elements = mask.rows_per_sample * x.size(1);
  const int64_t pieces = (elements + kPieceElements - 1) / kPieceElements;
  QSWEEP_CHECK(x.size(0) % mask.rows_per_sample == 0 && x.size(1) % kKernelMultiple == 0);
  WithType(x.scalar_type(), [&](auto t) {
    using T = decltype(t);
    const int64_t samples = x.size(0) / mask.rows_per_sample;
    at::parallel_for(0, samples * pieces, 4, [&](int64_t begin, int64_t end) {
      MaskSource source{mask.key.k0,
                        mask.key.k1,
                        0,
                        static_cast<uint32_t>(mask.step),
                        static_cast<uint32_t>(mask.step >> 32),
                        mask.threshold,
                        mask.scale()};
      for (int64_t i = begin; i < end; ++i) {
        const int64_t sample = i / pieces, first = i % pieces * kPieceElements;
        source.sample = static_cast<uint32_t>(mask.first_sample + sample);
        const int64_t at = sample * elements + first;
        pick(BestKernels<T>())(source, first, std::min(kPieceElements, elements - first),
                               Data<T>(x) + at, Data<T>(y) + at);
      }
    });
  });
}

}  // namespace

at::Tensor Dropout(const at::Tensor& x, const DropoutMask& mask) {
  if (!x.is_cpu()) return tensor_ops::Dropout(x, mask);
  const at::Tensor y = at::empty_like(x);
  ForPieces(x, mask, y, [](const auto& kernels) { return kernels.dropout; });
  return y;
}

void DropoutAdd(const at::Tensor& x, const DropoutMask& mask, const at::Tensor& to) {
  if (!x.is_cpu()) return tensor_ops::DropoutAdd(x, mask, to);
  ForPieces(x, mask, to, [](const auto& kernels) { return kernels.dropout_add; });
}

QuantizedRows QuantizeRows(const at::Tensor& x, const at::Tensor& columns, double threshold) {
  if (!x.is_cpu()) return tensor_ops::QuantizeRows(x, columns, threshold);
  const int64_t rows = x.size(0), dim = x.size(1);
  const QuantizedRows to{at::empty({rows, dim}, at::kChar), at::empty({rows}, at::kFloat)};
  WithType(x.scalar_type(), [&](auto t) {
    using T = decltype(t);
    ForRows(rows, dim, [&](int64_t begin, int64_t end) {
      BestKernels<T>().quantize_rows(end - begin, dim, Data<T>(x) + begin * dim,
                                     Data<float>(columns), static_cast<float>(threshold),
                                     Data<int8_t>(to.codes) + begin * dim,
                                     Data<float>(to.scales) + begin);
    });
  });
  return to;
}

void FinishInt8(const at::Tensor& sums, const at::Tensor& row_scales, const at::Tensor& columns,
                const Epilogue& e, const at::Tensor& y) {
  if (!y.is_cpu()) return tensor_ops::FinishInt8(sums, row_scales, columns, e, y);
  const int64_t rows = sums.size(0), dim = sums.size(1);
  QSWEEP_CHECK(y.is_contiguous());
  QSWEEP_CHECK(!e.add.defined() || e.add.scalar_type() == at::kFloat);
  QSWEEP_CHECK(!e.multiply.defined() || e.multiply.scalar_type() == y.scalar_type());
  WithType(y.scalar_type(), [&](auto t) {
    using T = decltype(t);
    ForRows(rows, dim, [&](int64_t begin, int64_t end) {
      const auto from = [&](auto* p) { return p == nullptr ? nullptr : p + begin * dim; };
      BestKernels<T>().finish_int8(
          end - begin, dim, Data<int32_t>(sums) + begin * dim, Data<float>(row_scales) + begin,
          {Data<float>(columns), Data<float>(e.bias), from(Data<float>(e.add)),
           from(Data<T>(e.multiply)), Data<T>(y) + begin * dim});
    });
  });
}

}  // namespace qsweep::engine
