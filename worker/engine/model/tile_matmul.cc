#include "worker/engine/model/tile_matmul.h"

#include <algorithm>

#include "worker/engine/base/cpu.h"
#include "worker/engine/base/threads.h"
#include "worker/engine/model/kernel_call.h"

namespace qsweep::engine {
namespace {

// Below these the work around a product is more than the product.
constexpr int64_t kLeastRows = 16;
constexpr int64_t kLeastColumns = 64;

bool IsLarge(int64_t n) { return n >= kLeastColumns && n % kKernelMultiple == 0; }

bool HasOurType(const at::Tensor& a) {
  static const bool has_amx = CpuHas("amx_bf16");  // oneDNN's products on it outrun any on vectors
  return a.scalar_type() == at::kFloat || (a.scalar_type() == at::kBFloat16 && !has_amx);
}

// Whether the kernels can read them.
bool AreOperands(const at::Tensor& a, const at::Tensor& b) {
  const auto has_even_rows = [](const at::Tensor& t, bool transposed) {
    return t.stride(transposed ? 0 : 1) == 1 && t.stride(transposed ? 1 : 0) % 2 == 0;
  };
  return a.size(1) % 2 == 0 && has_even_rows(a, false) &&
         (has_even_rows(b, false) || has_even_rows(b, true));
}

bool IsLikeC(const at::Tensor& t, const at::Tensor& c) {
  return !t.defined() || (t.scalar_type() == c.scalar_type() && t.stride(1) == 1);
}

bool IsOurs(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const Epilogue& e,
            const Factors& more) {
  return HasOurType(a) && a.size(0) >= kLeastRows && IsLarge(a.size(1)) && IsLarge(b.size(1)) &&
         AreOperands(a, b) && (!more.left.defined() || AreOperands(more.left, more.right)) &&
         (c.scalar_type() == at::kFloat || c.scalar_type() == a.scalar_type()) &&
         IsLikeC(e.add, c) && IsLikeC(e.multiply, c);
}

template <typename T>
MatmulOperands<T> Operands(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined()) return {};
  const bool transposed = b.stride(1) != 1;
  return {a.size(1), Data<T>(a), a.stride(0), Data<T>(b), b.stride(transposed ? 1 : 0), transposed};
}

template <typename C>
MatmulResult<C> Result(const at::Tensor& c, const Epilogue& e) {
  const auto stride = [](const at::Tensor& t) { return t.defined() ? t.stride(0) : 0; };
  return {Data<C>(c),    c.stride(0),         Data<float>(e.bias), Data<C>(e.add),
          stride(e.add), Data<C>(e.multiply), stride(e.multiply)};
}

// kernel(shape, result, begin, end, scratch), the columns shared out among threads.
template <typename Kernel, typename Shape, typename Result>
void Run(const MatmulDivision& division, const Kernel& kernel, const Shape& shape,
         const Result& result) {
  const int64_t n = shape.n, threads = ThreadsHere();
  // A panel, or less when there would not be one for every thread.
  const int64_t fair = (n / kKernelMultiple + threads - 1) / threads * kKernelMultiple;
  const int64_t columns = std::min(division.columns, fair);
  ForParts((n + columns - 1) / columns, division.floats,
           [&](int64_t first, int64_t last, float* scratch) {
             kernel(shape, result, first * columns, std::min(n, last * columns), scratch);
           });
}

// By the kernel of the two that gives c's type.
template <typename T, typename Shape, typename ToFloat, typename ToT>
void RunTo(const at::Tensor& c, const Epilogue& e, const MatmulDivision& division,
           const Shape& shape, const ToFloat& to_float, const ToT& to_t) {
  if (c.scalar_type() == at::kFloat) {
    Run(division, to_float, shape, Result<float>(c, e));
  } else {
    Run(division, to_t, shape, Result<T>(c, e));
  }
}

}  // namespace

bool TileMatmul(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const Epilogue& e,
                const Factors& more) {
  if (!IsOurs(a, b, c, e, more)) return false;
  WithType(a.scalar_type(), [&](auto t) {
    using T = decltype(t);
    const Kernels<T>& kernels = BestKernels<T>();
    const MatmulShape<T> shape{a.size(0), b.size(1), Operands<T>(a, b),
                               Operands<T>(more.left, more.right)};
    RunTo<T>(c, e, kernels.matmul_division(shape), shape, kernels.matmul_to_float, kernels.matmul);
  });
  return true;
}

bool TileInt8Matmul(const QuantizedRows& rows, const at::Tensor& codes, const at::Tensor& columns,
                    const at::Tensor& c, const Epilogue& e, const Factors& more) {
  static const bool has_amx = CpuHas("amx_int8");
  const bool has_more = more.left.defined();
  if (!c.is_cpu() || has_amx || (has_more && !AreOperands(more.left, more.right))) return false;
  QSWEEP_CHECK(IsLikeC(e.add, c) && IsLikeC(e.multiply, c));
  WithType(has_more ? more.left.scalar_type() : c.scalar_type(), [&](auto t) {
    using T = decltype(t);
    const Kernels<T>& kernels = BestKernels<T>();
    const MatmulShape<T, int8_t> shape{rows.codes.size(0),
                                       codes.size(1),
                                       Operands<int8_t>(rows.codes, codes),
                                       Operands<T>(more.left, more.right),
                                       Data<float>(rows.scales),
                                       Data<float>(columns)};
    RunTo<T>(c, e, kernels.int8_matmul_division(shape), shape, kernels.int8_matmul_to_float,
             kernels.int8_matmul);
  });
  return true;
}

}  // namespace qsweep::engine
