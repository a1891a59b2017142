#include "worker/engine/model/int8_matmul.h"

#include <gtest/gtest.h>

#include "common/spec/spec.h"
#include "worker/engine/model/ops.h"
#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

// What rows become as codes (kernels_test.cc has the formula; fp32 decides its ties), in float64.
at::Tensor Rounded(const at::Tensor& rows, const at::Tensor& columns = {}) {
  const QuantizedRows quantized = QuantizeRows(rows, columns, 0);
  return quantized.codes.to(at::kDouble) * quantized.scales.unsqueeze(1);
}

class Int8MatmulTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  Int8MatmulTest() {
    at::manual_seed(3);
    v1::Quantization int8 = DefaultSpec().quantization();
    int8.set_bits(8);
    weight_ = *QuantizedWeight::Quantize(at::randn({48, 96}), int8);
    dense_ = weight_->Dequantize(at::kFloat).to(at::kDouble);
  }
  at::Tensor Random(int64_t columns) { return at::randn({35, columns}).to(GetParam()); }
  // Sums of codes are exact: what rounds are scales, their products, what is added, the result.
  static double of_sums() { return 2 * Roundings(kUnitFp32, 6); }
  double of_result() const {
    return GetParam() == at::kFloat ? of_sums() : Roundings(kUnitBf16, 1);
  }
  // A step is 1/127 of the largest of a row, some 2.6 times its standard deviation, and rounding to
  // steps is off by 1/√12 of one: 0.6 % of the product itself.
  static constexpr double kSteps = 0.008;

  std::optional<QuantizedWeight> weight_;
  at::Tensor dense_;
};

TEST_P(Int8MatmulTest, ForwardIsTheProductOfTheRoundedRows) {
  const at::Tensor x = Random(96), bias = at::randn({48}), add = at::randn({35, 48});
  const at::Tensor expected = at::mm(Rounded(x), dense_.t()) + bias;
  const at::Tensor y = at::empty({35, 48}, GetParam());
  Int8Forward(x, *weight_, 0, {bias}, {}, y);
  EXPECT_LT(Distance(y, expected), of_result());
  const at::Tensor wide = add.clone();
  Int8Forward(x, *weight_, 0, {bias, wide}, {}, wide);
  EXPECT_LT(Distance(wide, expected + add), of_sums());
  EXPECT_LT(Distance(y, at::mm(x.to(at::kDouble), dense_.t()) + bias), kSteps);
}

TEST_P(Int8MatmulTest, BackwardRoundsTheScaledRows) {
  const at::Tensor dy = Random(48), multiply = Random(96);
  const at::Tensor rows = Rounded(dy, weight_->row_absmax() / 127);
  const at::Tensor expected = at::mm(rows, weight_->codes().to(at::kDouble)) * multiply;
  const at::Tensor dx = at::empty({35, 96}, GetParam());
  Int8Backward(dy, *weight_, {{}, {}, multiply}, {}, dx);
  EXPECT_LT(Distance(dx, expected), of_result());
  EXPECT_LT(Distance(dx, at::mm(dy.to(at::kDouble), dense_) * multiply), kSteps);
}

TEST_P(Int8MatmulTest, OutliersAboveTheThresholdDoNotCoarsenTheRest) {
  const at::Tensor x = Random(96);
  x.select(1, 5) *= 100;
  x.select(1, 77).slice(0, 0, 3) *= 50;
  const at::Tensor exact = at::mm(x.to(at::kDouble), dense_.t());
  const at::Tensor y = at::empty({35, 48}, at::kFloat);
  // Of what is not in the outlying columns.
  at::Tensor rest = x.clone();
  rest.masked_fill_(x.to(at::kFloat).abs() >= 6, 0);
  const double scale = at::mm(rest.to(at::kDouble), dense_.t()).norm().item<double>();
  const auto error = [&](double threshold) {
    Int8Forward(x, *weight_, threshold, {}, {}, y);
    return (y - exact).norm().item<double>() / scale;
  };
  EXPECT_GT(error(0), 0.1);
  // Of the column that is 100 times as large W is rounded to bf16; the rest are 95.
  const double of_outliers = GetParam() == at::kFloat ? 0 : 100 * Roundings(kUnitBf16, 1. / 95);
  EXPECT_LT(error(6), kSteps + of_outliers);
}

TEST_P(Int8MatmulTest, ARowDoesNotDependOnTheOthers) {
  const at::Tensor x = Random(96);
  x[3][7] = 50;
  const at::Tensor all = at::empty({35, 48}, at::kFloat), one = at::empty({1, 48}, at::kFloat);
  Int8Forward(x, *weight_, 6, {}, {}, all);
  for (int64_t row : {0, 3}) {
    Int8Forward(x.slice(0, row, row + 1), *weight_, 6, {}, {}, one);
    // Products with outliers may be added one by one, or fused.
    EXPECT_LT(Distance(one[0], all[row]), 2 * Roundings(kUnitFp32, 2));
  }
}

// Of an even rank, whose product joins the sums of codes, and of an odd one.
TEST_P(Int8MatmulTest, TheAdaptersProductIsAdded) {
  const at::Tensor x = Random(96), dy = Random(48), multiply = Random(96);
  const at::Tensor y = at::empty({35, 48}, at::kFloat), dx = at::empty({35, 96}, GetParam());
  for (const int64_t rank : {8, 5}) {
    const Factors up = {Random(rank), at::randn({rank, 48}).to(GetParam())};
    const Factors down = {Random(rank), at::randn({96, rank}).to(GetParam()).t()};
    const auto product = [](const Factors& f) {
      return at::mm(f.left.to(at::kDouble), f.right.to(at::kDouble));
    };
    Int8Forward(x, *weight_, 0, {}, {}, y);
    const at::Tensor expected = y.to(at::kDouble) + product(up);
    Int8Forward(x, *weight_, 0, {}, up, y);
    EXPECT_LT(Distance(y, expected), Fp32Sums(10));
    Int8Backward(dy, *weight_, {}, {}, dx);
    const at::Tensor sum = (dx.to(at::kDouble) + product(down)) * multiply;
    Int8Backward(dy, *weight_, {{}, {}, multiply}, down, dx);
    // Of bf16 three roundings, where a product and then another is added.
    EXPECT_LT(Distance(dx, sum), GetParam() == at::kFloat ? Fp32Sums(12) : Roundings(kUnitBf16, 3));
  }
}

// Or training would go on, on zeros.
TEST_P(Int8MatmulTest, WhatIsNotFiniteIsNotLost) {
  const at::Tensor y = at::empty({35, 48}, at::kFloat), dx = at::empty({35, 96}, at::kFloat);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    const at::Tensor x = Random(96), dy = Random(48);
    x[3][7] = bad;
    dy[4][9] = bad;
    for (const double threshold : {0.0, 6.0}) {
      Int8Forward(x, *weight_, threshold, {}, {}, y);
      EXPECT_FALSE(y[3].isfinite().any().item<bool>()) << bad << ", threshold " << threshold;
      EXPECT_TRUE(y[2].isfinite().all().item<bool>());
    }
    Int8Backward(dy, *weight_, {}, {}, dx);
    EXPECT_FALSE(dx[4].isfinite().any().item<bool>()) << bad;
    EXPECT_TRUE(dx[5].isfinite().all().item<bool>());
  }
}

TEST_P(Int8MatmulTest, ARowOfZerosGivesTheBias) {
  const at::Tensor y = at::empty({2, 48}, at::kFloat), bias = at::randn({48});
  Int8Forward(at::zeros({2, 96}).to(GetParam()), *weight_, 0, {bias}, {}, y);
  EXPECT_TRUE(y.equal(bias.expand({2, 48})));
}

INSTANTIATE_TEST_SUITE_P(Types, Int8MatmulTest, ::testing::Values(at::kFloat, at::kBFloat16));

}  // namespace
}  // namespace qsweep::engine
