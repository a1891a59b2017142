#include "worker/engine/model/matmul.h"

#include <gtest/gtest.h>

#include <string>

#include "worker/engine/base/cpu.h"
#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

// Every combination that a network asks for, against float64: (m, k, n) of oneDNN's products and of
// our own, with and without a remainder of rows and columns.
void TestEveryCombination(int64_t m, int64_t k, int64_t n) {
  SCOPED_TRACE(::testing::Message() << m << " x " << k << " x " << n);
  at::manual_seed(1);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const at::ScalarType out : {at::kFloat, at::kBFloat16}) {
      for (int mask = 0; mask < 64; ++mask) {
        const auto random = [&](int64_t rows, int64_t columns, bool transposed) {
          return transposed ? at::randn({columns, rows}).to(type).t()
                            : at::randn({rows, columns}).to(type);
        };
        const at::Tensor a = random(m, k, mask & 1), b = random(k, n, mask & 2);
        const at::Tensor c = at::randn({m, n}).to(out);
        at::Tensor expected = at::mm(a.to(at::kDouble), b.to(at::kDouble));
        Epilogue e;
        Factors more;
        if (mask & 32) {
          more = {random(m, 8, false), random(8, n, mask & 2)};
          expected += at::mm(more.left.to(at::kDouble), more.right.to(at::kDouble));
        }
        if (mask & 4) expected += e.bias = at::randn({n});
        if (mask & 8) expected += e.add = mask & 1 ? c : at::randn({m, n});
        if (mask & 16) expected *= e.multiply = at::randn({m, n}).to(out);
        Matmul(a, b, c, e, more);
        // Sums in fp32, then a rounding to the result's type; another where `more` comes after it,
        // of what may be larger than the result.
        const double tolerance =
            out == at::kFloat ? Fp32Sums(k + 8) : Roundings(kUnitBf16, mask & 32 ? 3 : 1);
        EXPECT_LT(Distance(c, expected), tolerance)
            << type << " to " << out << ", combination " << mask;
      }
    }
  }
}

TEST(Matmul, ComputesTheProductAndItsEpilogue) {
  TestEveryCombination(34, 96, 40);
  TestEveryCombination(48, 96, 64);
  TestEveryCombination(34, 1600, 208);  // several panels of columns
}

// A product's rows come out the same to the bit however many are asked for, and whoever's thread.
TEST(Matmul, LargeProductsDoNotDependOnTheRowsBeside) {
  const at::Tensor a = at::randn({197, 192}).to(at::kBFloat16),
                   b = at::randn({576, 192}).to(at::kBFloat16).t();
  const at::Tensor all = at::empty({197, 576}, at::kBFloat16),
                   some = at::empty({40, 576}, at::kBFloat16);
  Matmul(a, b, all);
  at::parallel_for(0, 1, 1, [&](int64_t, int64_t) { Matmul(a.slice(0, 100, 140), b, some); });
  EXPECT_TRUE(some.equal(all.slice(0, 100, 140)));
}

// Of the largest codes, too, whose pairs do not fit 16 bits.
TEST(Matmul, SumsCodesExactly) {
  if (!CpuHas("avx512_vnni")) GTEST_SKIP() << "this processor has no VNNI";
  const at::Tensor a = at::randint(-127, 128, {34, 768}, at::kChar);
  const at::Tensor b = at::randint(-127, 128, {40, 768}, at::kChar);
  a[0].fill_(127);
  b[0].fill_(-127);
  const at::Tensor c = at::empty({34, 40}, at::kInt);
  Matmul(a, b.t(), c);
  EXPECT_TRUE(c.equal(at::mm(a.to(at::kDouble), b.t().to(at::kDouble)).to(at::kInt)));
}

TEST(Matmul, WritesIntoAStridedView) {
  const at::Tensor a = at::randn({5, 16}), b = at::randn({16, 8});
  at::Tensor wide = at::zeros({5, 12});
  Matmul(a, b, wide.slice(1, 2, 10), {});
  EXPECT_LT(Distance(wide.slice(1, 2, 10), at::mm(a.to(at::kDouble), b.to(at::kDouble))),
            Fp32Sums(16));
  EXPECT_EQ(wide.slice(1, 0, 2).abs().sum().item<float>(), 0);
  EXPECT_EQ(wide.slice(1, 10).abs().sum().item<float>(), 0);
}

}  // namespace
}  // namespace qsweep::engine
