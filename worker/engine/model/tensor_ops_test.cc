// Each function against the kernels of the same name, which have tests of their own
// (kernels_test.cc).
#include "worker/engine/model/tensor_ops.h"

#include <gtest/gtest.h>

#include "worker/engine/base/cpu.h"
#include "worker/engine/base/random.h"
#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

class TensorOpsTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  TensorOpsTest() { at::manual_seed(7); }

  // Sums of at most 85 terms, and a rounding to bf16 at the end, which may fall to either side.
  void ExpectClose(const at::Tensor& a, const at::Tensor& b) const {
    EXPECT_EQ(a.scalar_type(), b.scalar_type());
    EXPECT_LT(Distance(a, b),
              a.scalar_type() == at::kFloat ? Fp32Sums(2 * 85) : Roundings(kUnitBf16, 1));
  }
  // Of bf16 libtorch rounds each product, too, and each sum of two: with the kernel's own that is a
  // dozen roundings, or three where only the product is bf16.
  void ExpectCloseProducts(const at::Tensor& a, const at::Tensor& b) const {
    if (GetParam() == at::kFloat) return ExpectClose(a, b);
    EXPECT_EQ(a.scalar_type(), b.scalar_type());
    EXPECT_LT(Distance(a, b), Roundings(kUnitBf16, a.scalar_type() == at::kFloat ? 3 : 12));
  }
  at::Tensor Narrow(at::IntArrayRef sizes) const { return at::randn(sizes).to(GetParam()); }
};

TEST_P(TensorOpsTest, LayerNorm) {
  const at::Tensor x = at::randn({9, 64}) + 3, gamma = at::randn({64}), beta = at::randn({64});
  NormSaved saved, own;
  ExpectClose(tensor_ops::LayerNorm(x, gamma, beta, 1e-6, GetParam(), &own),
              LayerNorm(x, gamma, beta, 1e-6, GetParam(), &saved));
  ExpectClose(own.xhat, saved.xhat);
  ExpectClose(own.rstd, saved.rstd);
  ExpectClose(tensor_ops::LayerNormOutput(saved, gamma, beta), LayerNormOutput(saved, gamma, beta));

  const at::Tensor dy = Narrow({9, 64}), add = at::randn({9, 64});
  for (const at::Tensor& other : {at::Tensor(), add}) {
    const StreamGradient mine = tensor_ops::LayerNormBackward(dy, saved, gamma, other),
                         theirs = LayerNormBackward(dy, saved, gamma, other);
    ExpectClose(mine.wide, theirs.wide);
    ExpectClose(mine.narrow, theirs.narrow);
  }
  const at::Tensor sums = at::ones({4, 64});
  tensor_ops::LayerNormParameterGradients(dy, saved, sums[0], sums[1]);
  LayerNormParameterGradients(dy, saved, sums[2], sums[3]);
  ExpectClose(sums.slice(0, 0, 2), sums.slice(0, 2));
}

TEST_P(TensorOpsTest, GeluAndItsDerivative) {
  const at::Tensor u = at::linspace(-12, 12, 1008).to(GetParam());
  for (const bool keep : {false, true}) {
    const at::Tensor mine = u.clone(), theirs = u.clone();
    ExpectClose(tensor_ops::Gelu(mine, keep), Gelu(theirs, keep));
    if (keep) ExpectClose(mine, theirs);
  }
}

TEST_P(TensorOpsTest, Attention) {
  if (GetParam() == at::kBFloat16 && !CpuHas("avx512")) {
    GTEST_SKIP() << "without AVX-512 libtorch sums products of bf16 in bf16";
  }
  const at::Tensor qkv = Narrow({2, 53, 3 * 64});
  for (const int64_t queries : {int64_t{53}, int64_t{1}}) {
    at::Tensor mine, theirs;
    const at::Tensor o = tensor_ops::Attention(qkv, 2, queries, &mine);
    ExpectCloseProducts(o, Attention(qkv, 2, queries, &theirs));
    const at::Tensor d_o = Narrow(o.sizes());
    ExpectCloseProducts(tensor_ops::AttentionBackward(qkv, 2, o, mine, d_o),
                        AttentionBackward(qkv, 2, o, theirs, d_o));
  }
}

TEST_P(TensorOpsTest, DropoutIsTheSameToTheBit) {
  // A sample's elements are no whole number of groups; a step beyond 32 bits.
  const DropoutMask mask{MakeKey(1, Purpose::kLoraDropout, 3), 6554, (int64_t{7} << 32) + 9, 4, 5};
  const at::Tensor x = Narrow({3 * 5, 48}), mine = Narrow({3 * 5, 48}), theirs = mine.clone();
  EXPECT_TRUE(tensor_ops::Dropout(x, mask).equal(Dropout(x, mask)));
  tensor_ops::DropoutAdd(x, mask, mine);
  DropoutAdd(x, mask, theirs);
  ExpectClose(mine, theirs);  // the kernel rounds once, fused
}

TEST_P(TensorOpsTest, Int8RowsAndTheirNumbers) {
  at::Tensor x = Narrow({5, 112});
  x[1].fill_(0);
  x[2][17] = 40;
  const at::Tensor columns = at::rand({112}) + 0.5;
  const QuantizedRows mine = tensor_ops::QuantizeRows(x, columns, 9),
                      theirs = QuantizeRows(x, columns, 9);
  EXPECT_TRUE(mine.codes.equal(theirs.codes));
  EXPECT_TRUE(mine.scales.equal(theirs.scales));
  x[3][5] = INFINITY;
  EXPECT_TRUE(tensor_ops::QuantizeRows(x, {}, 0).scales.isnan().equal(
      QuantizeRows(x, {}, 0).scales.isnan()));

  const at::Tensor sums = at::randint(-100000, 100000, {5, 112}, at::kInt);
  const Epilogue e = {at::randn({112}), at::randn({5, 112}), Narrow({5, 112})};
  const at::Tensor a = at::empty({5, 112}, GetParam()), b = at::empty({5, 112}, GetParam());
  tensor_ops::FinishInt8(sums, mine.scales, columns, e, a);
  FinishInt8(sums, mine.scales, columns, e, b);
  ExpectClose(a, b);
}

TEST_P(TensorOpsTest, ProductsWithEveryEpilogue) {
  const at::Tensor a = Narrow({37, 48}), b = Narrow({32, 48}).t(), bias = at::randn({32});
  const at::Tensor narrow = Narrow({37, 32}), wide = at::randn({37, 32}),
                   multiply = Narrow({37, 32});
  for (const at::ScalarType type : {GetParam(), at::kFloat}) {
    const at::Tensor adds = type == at::kFloat ? wide : narrow;
    for (const Epilogue& e : {Epilogue{}, Epilogue{bias}, Epilogue{bias, wide}, Epilogue{{}, adds},
                              Epilogue{{}, adds, type == GetParam() ? multiply : at::Tensor()}}) {
      const at::Tensor mine = at::empty({37, 32}, type), theirs = at::empty({37, 32}, type);
      for (const Factors& more : {Factors{}, Factors{Narrow({37, 8}), Narrow({8, 32})}}) {
        tensor_ops::Matmul(a, b, mine, e, more);
        Matmul(a, b, theirs, e, more);
        ExpectCloseProducts(mine, theirs);
      }
    }
    const at::Tensor mine = adds.clone(), theirs = adds.clone();
    tensor_ops::Matmul(a, b, mine, {{}, mine}, {});
    Matmul(a, b, theirs, {{}, theirs});
    ExpectCloseProducts(mine, theirs);
  }
  const at::Tensor x = at::randint(-127, 128, {9, 48}).to(at::kChar),
                   y = at::randint(-127, 128, {48, 32}).to(at::kChar);
  const at::Tensor sums = at::empty({9, 32}, at::kInt);
  tensor_ops::Matmul(x, y, sums, {}, {});
  EXPECT_TRUE(sums.equal(at::mm(x.to(at::kDouble), y.to(at::kDouble)).to(at::kInt)));
}

INSTANTIATE_TEST_SUITE_P(Types, TensorOpsTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

}  // namespace
}  // namespace qsweep::engine
