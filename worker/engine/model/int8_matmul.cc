#include "worker/engine/model/int8_matmul.h"

#include "common/status.h"
#include "worker/engine/model/ops.h"
#include "worker/engine/model/tile_matmul.h"

namespace qsweep::engine {
namespace {

constexpr float kCodes = 127;
constexpr int64_t kColumnGroup = 32;

// y = epilogue(rows · codes · columns + more): by our own kernel, or, on AMX and other devices, in
// steps.
void Int8Matmul(const QuantizedRows& rows, const at::Tensor& codes, const at::Tensor& columns,
                const Epilogue& e, const Factors& more, const at::Tensor& y) {
  if (TileInt8Matmul(rows, codes, columns, y, e, more)) return;
  if (more.left.defined()) {
    Int8Matmul(rows, codes, columns, {e.bias, e.add, {}}, {}, y);
    return Matmul(more.left, more.right, y, {{}, y, e.multiply});
  }
  const at::Tensor sums =
      at::empty({rows.codes.size(0), codes.size(1)}, codes.options().dtype(at::kInt));
  Matmul(rows.codes, codes, sums);
  FinishInt8(sums, rows.scales, columns, e, y);
}

// What the threshold kept out of the codes: a few columns, and in them a few elements.
void AddOutliers(const at::Tensor& x, const QuantizedWeight& weight, double threshold,
                 const at::Tensor& y) {
  const at::Tensor large = x.to(at::kFloat).abs() >= threshold;
  const at::Tensor columns = large.any(0).nonzero().flatten();
  if (columns.numel() == 0) return;
  // In a whole number of groups, or a product would have to be made for every number of columns.
  const int64_t missing = (kColumnGroup - columns.numel() % kColumnGroup) % kColumnGroup;
  const auto pick = [&columns, missing](const at::Tensor& t) {
    return at::constant_pad_nd(t.index_select(1, columns), {0, missing});
  };
  const at::Tensor outliers = pick(x.masked_fill(~large, 0));
  const at::Tensor weights =
      pick(weight.codes()).to(at::kFloat) * (weight.row_absmax() / kCodes).unsqueeze(1);
  Matmul(outliers, weights.to(x.scalar_type()).t(), y, {{}, y});
}

}  // namespace

void Int8Forward(const at::Tensor& x, const QuantizedWeight& weight, double threshold,
                 const Epilogue& e, const Factors& more, const at::Tensor& y) {
  QSWEEP_CHECK(!e.multiply.defined());
  Int8Matmul(QuantizeRows(x, {}, threshold), weight.codes().t(), weight.row_absmax() / kCodes, e,
             more, y);
  if (threshold > 0) AddOutliers(x, weight, threshold, y);
}

void Int8Backward(const at::Tensor& dy, const QuantizedWeight& weight, const Epilogue& e,
                  const Factors& more, const at::Tensor& dx) {
  Int8Matmul(QuantizeRows(dy, weight.row_absmax() / kCodes, 0), weight.codes(), {}, e, more, dx);
}

}  // namespace qsweep::engine
