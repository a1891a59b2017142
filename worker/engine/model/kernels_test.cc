// Every kernel of every instruction set that this processor has, against the formula in float64.
#include "worker/engine/model/kernels/kernels.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <type_traits>

#include "worker/engine/base/random.h"
#include "worker/engine/model/kernel_call.h"
#include "worker/engine/model/ops.h"
#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

at::Tensor Product(const at::Tensor& x, const at::Tensor& y) {
  return at::mm(x.to(at::kDouble), y.to(at::kDouble));
}

template <typename T>
class KernelTest : public ::testing::Test {
 protected:
  static constexpr at::ScalarType kType = std::is_same_v<T, float> ? at::kFloat : at::kBFloat16;
  KernelTest() { at::manual_seed(5); }

  // What a result of type T may be off by, in fp32 or with so many roundings to bf16.
  static double Tolerance(double in_fp32, double bf16_roundings) {
    return kType == at::kFloat ? in_fp32 : Roundings(kUnitBf16, bf16_roundings);
  }

  // Of one head: qkv [tokens, 3, d] -> o [tokens, d].
  static at::Tensor Attention(const Kernels<T>& kernels, const at::Tensor& qkv) {
    const int64_t tokens = qkv.size(0), d = qkv.size(2);
    const HeadShape shape{tokens, tokens, d, 3 * d, d};
    const at::Tensor o = at::empty({tokens, d}, kType);
    const at::Tensor scratch = at::empty({kernels.attention_scratch(shape)});
    const T* q = Data<T>(qkv);
    kernels.attention(shape, q, q + d, q + 2 * d, Data<T>(o), nullptr, Data<float>(scratch));
    return o;
  }

  template <typename Check>
  void ForEachSet(const Check& check) {
    int count = 0;
    const Kernels<T>* const* all = AllKernels<T>(&count);
    for (int i = 0; i < count; ++i) {
      SCOPED_TRACE(all[i]->instruction_set);
      check(*all[i]);
    }
  }
};

using Types = ::testing::Types<float, Bf16>;
TYPED_TEST_SUITE(KernelTest, Types);

// Both layouts of b, a second product of few terms, remainders of rows, columns and panels, columns
// in parts, strides beyond the widths, and nothing written beside the result.
TYPED_TEST(KernelTest, Matmul) {
  using T = TypeParam;
  const int64_t m = 29, n = 336, k = 1616, r = 10, stride = 1632;
  const at::Tensor a = at::randn({m, stride}).to(this->kType), bias = at::randn({n});
  const at::Tensor b = at::randn({k, n}).to(this->kType), bt = at::empty({n, stride}, this->kType);
  bt.slice(1, 0, k).copy_(b.t());
  const at::Tensor hidden = at::randn({m, r}).to(this->kType),
                   up = at::randn({n, r}).to(this->kType);
  const at::Tensor multiply = at::randn({m, n}), add = at::randn({m, n + 8});
  const at::Tensor sum = Product(a.slice(1, 0, k), b) + bias.to(at::kDouble);
  const at::Tensor expected = (sum + Product(hidden, up.t()) + add.slice(1, 0, n)) * multiply;
  this->ForEachSet([&](const Kernels<T>& kernels) {
    MatmulShape<T> shape{m, n, {k, Data<T>(a), stride, Data<T>(b), n, false}, {}};
    shape.second = {r, Data<T>(hidden), r, Data<T>(up), r, true};
    const at::Tensor scratch = at::empty({kernels.matmul_division(shape).floats});
    const at::Tensor c = add.clone();
    const MatmulResult<float> in_place{
        Data<float>(c), n + 8, Data<float>(bias), Data<float>(c), n + 8, Data<float>(multiply), n};
    kernels.matmul_to_float(shape, in_place, 0, 208, Data<float>(scratch));
    kernels.matmul_to_float(shape, in_place, 208, n, Data<float>(scratch));
    // Operands are exact; sums of k in fp32 are off by 2^-25 sqrt(k / 2) of themselves, 8.5e-7.
    EXPECT_LT(Distance(c.slice(1, 0, n), expected), 1.5e-6);
    EXPECT_TRUE(c.slice(1, n).equal(add.slice(1, n)));

    shape.first = {k, Data<T>(a), stride, Data<T>(bt), stride, true};
    shape.second = {};
    const at::Tensor narrow = at::empty({m, n}, this->kType);
    kernels.matmul(shape, {Data<T>(narrow), n, Data<float>(bias)}, 0, n, Data<float>(scratch));
    EXPECT_LT(Distance(narrow, sum), this->Tolerance(Fp32Sums(k), 1));
  });
}

// Likewise, of codes; among them the largest, whose pairs do not fit 16 bits.
TYPED_TEST(KernelTest, Int8Matmul) {
  using T = TypeParam;
  const int64_t m = 29, n = 336, k = 3120, r = 10;
  const at::Tensor a = at::randint(-127, 128, {m, k}, at::kChar);
  const at::Tensor b = at::randint(-127, 128, {k, n}, at::kChar);
  a[0].fill_(127);
  a[28].fill_(-127);
  b.select(1, 3).fill_(-128);
  b.select(1, 335).fill_(127);
  const at::Tensor bt = b.t().contiguous(), rows = at::rand({m}) / 1000, columns = at::rand({n});
  const at::Tensor hidden = at::randn({m, r}).to(this->kType),
                   up = at::randn({n, r}).to(this->kType), add = at::randn({m, n + 8});
  const at::Tensor sum = Product(a, b);
  const at::Tensor scaled = sum * rows.unsqueeze(1) * columns;
  this->ForEachSet([&](const Kernels<T>& kernels) {
    MatmulShape<T, int8_t> shape{m,
                                 n,
                                 {k, Data<int8_t>(a), k, Data<int8_t>(bt), k, true},
                                 {},
                                 Data<float>(rows),
                                 Data<float>(columns)};
    shape.second = {r, Data<T>(hidden), r, Data<T>(up), r, true};
    const at::Tensor scratch = at::empty({kernels.int8_matmul_division(shape).floats});
    const at::Tensor c = add.clone();
    const MatmulResult<float> in_place{Data<float>(c), n + 8, nullptr, Data<float>(c), n + 8};
    kernels.int8_matmul_to_float(shape, in_place, 0, 208, Data<float>(scratch));
    kernels.int8_matmul_to_float(shape, in_place, 208, n, Data<float>(scratch));
    EXPECT_LT(Distance(c.slice(1, 0, n), scaled + Product(hidden, up.t()) + add.slice(1, 0, n)),
              Fp32Sums(r + 3));  // the sums of codes are exact
    EXPECT_TRUE(c.slice(1, n).equal(add.slice(1, n)));

    const at::Tensor ones = at::ones({m}), exact = at::empty({m, n});
    shape.first = {k, Data<int8_t>(a), k, Data<int8_t>(b), n, false};
    shape.second = {};
    shape.row_scales = Data<float>(ones);
    shape.column_scales = nullptr;
    kernels.int8_matmul_to_float(shape, {Data<float>(exact), n}, 0, n, Data<float>(scratch));
    EXPECT_TRUE(exact.equal(sum.to(at::kFloat)));
    const at::Tensor narrow = at::empty({m, n}, this->kType);
    kernels.int8_matmul(shape, {Data<T>(narrow), n}, 0, n, Data<float>(scratch));
    EXPECT_TRUE(narrow.equal(exact.to(this->kType)));
  });
}

TYPED_TEST(KernelTest, LayerNorm) {
  using T = TypeParam;
  const int64_t rows = 7, dim = 48;
  // A mean far from 0 next to the spread: the variance must not come from a difference of squares.
  const at::Tensor x = at::randn({rows, dim}) + 100, gamma = at::randn({dim}),
                   beta = at::randn({dim});
  const at::Tensor wide = x.to(at::kDouble), centred = wide - wide.mean(1, true);
  const at::Tensor rstd = (centred.square().mean(1, true) + 1e-6).rsqrt(), xhat = centred * rstd;
  this->ForEachSet([&](const Kernels<T>& kernels) {
    const at::Tensor y = at::empty({rows, dim}, this->kType), kept = at::empty_like(y),
                     again = at::empty_like(y), scales = at::empty({rows});
    kernels.layer_norm(rows, dim, Data<float>(x), Data<float>(gamma), Data<float>(beta), 1e-6f,
                       Data<T>(kept), Data<float>(scales), Data<T>(y));
    // The mean, being near 100, is only good to 4e-6 of the spread, and its sum, near 4800, to
    // 5e-6.
    const double of_mean = 1e-5;
    EXPECT_LT(Distance(y, xhat * gamma + beta), this->Tolerance(0, 2) + of_mean);
    EXPECT_LT(Distance(kept, xhat), this->Tolerance(0, 1) + of_mean);
    // The root halves what its argument is off by.
    EXPECT_LT(Distance(scales, rstd.squeeze(1)), Fp32Sums(dim) / 2);
    kernels.layer_norm_output(rows, dim, Data<T>(kept), Data<float>(gamma), Data<float>(beta),
                              Data<T>(again));
    EXPECT_TRUE(again.equal(y));
  });
}

TYPED_TEST(KernelTest, LayerNormBackward) {
  using T = TypeParam;
  const int64_t rows = 9, dim = 64;
  at::Tensor x = at::randn({rows, dim}, at::kDouble).requires_grad_();
  at::Tensor gamma = at::randn({dim}, at::kDouble).requires_grad_();
  at::Tensor beta = at::randn({dim}, at::kDouble).requires_grad_();
  const at::Tensor dy = at::randn({rows, dim}).to(this->kType), add = at::randn({rows, dim});
  at::layer_norm(x, {dim}, gamma, beta, 1e-6).backward(dy.to(at::kDouble));
  c10::NoGradGuard no_grad;
  const at::Tensor rstd = x.var(1, false).add(1e-6).rsqrt();
  const at::Tensor xhat = ((x - x.mean(1, true)) * rstd.unsqueeze(1)).to(this->kType);
  const at::Tensor scales = rstd.to(at::kFloat), weight = gamma.to(at::kFloat);
  this->ForEachSet([&](const Kernels<T>& kernels) {
    const at::Tensor dx = at::empty({rows, dim}), narrow = at::empty_like(dy);
    kernels.layer_norm_backward(rows, dim, Data<T>(dy), Data<T>(xhat), Data<float>(scales),
                                Data<float>(weight), Data<float>(add), Data<float>(dx),
                                Data<T>(narrow));
    // Sums over a row weigh little beside the rest. x̂'s rounding is in the mean of g · x̂ alone,
    // which is an eighth of g.
    EXPECT_LT(Distance(dx, x.grad() + add),
              this->Tolerance(2 * Roundings(kUnitFp32, 6), 2. / (8 * 8)) + Fp32Sums(2));
    EXPECT_TRUE(narrow.equal(dx.to(this->kType)));
    const at::Tensor d_gamma = at::ones({dim}), d_beta = at::ones({dim});
    kernels.layer_norm_parameters(rows, dim, Data<T>(dy), Data<T>(xhat), Data<float>(d_gamma),
                                  Data<float>(d_beta));
    EXPECT_LT(Distance(d_gamma, gamma.grad() + 1), this->Tolerance(Fp32Sums(rows + 1), 1));  // x̂'s
    EXPECT_LT(Distance(d_beta, beta.grad() + 1), Fp32Sums(rows + 1));
  });
}

TYPED_TEST(KernelTest, GeluAndItsDerivative) {
  using T = TypeParam;
  // A length that is no multiple of any vector; values from deep in one tail to the other.
  const at::Tensor u = at::linspace(-12, 12, 1003).to(this->kType);
  at::Tensor wide = u.to(at::kDouble).requires_grad_();
  const at::Tensor expected = at::gelu(wide);
  expected.sum().backward();
  this->ForEachSet([&](const Kernels<T>& kernels) {
    const at::Tensor spent = u.clone(), g = at::empty_like(u);
    kernels.gelu(u.numel(), Data<T>(spent), Data<T>(g), true);
    // erf's approximation is off by 1.5e-7 at most, so Φ by half of that. Above 4 g is u itself but
    // for that: what rounds to bf16 is an eighth of the norm.
    const double of_phi = 0.75e-7;
    EXPECT_LT(Distance(g, expected.detach()), this->Tolerance(of_phi + kUnitFp32, 1. / 16));
    EXPECT_LT(Distance(spent, wide.grad()), this->Tolerance(2 * of_phi + kUnitFp32, 1));
    // Φ is 1 in fp32 above 5.5. Half a unit of bf16 below 4 is 2^-7.
    const at::Tensor worst = (g.to(at::kDouble) - expected.detach()).abs().max();
    EXPECT_LT(worst.item<double>(),
              this->kType == at::kFloat ? 5.5 * (of_phi + kUnitFp32) : 0x1p-7 + 1e-4);
  });
}

TYPED_TEST(KernelTest, AttentionAndItsGradients) {
  using T = TypeParam;
  struct Case {
    int64_t tokens, queries, d;
  };
  // A ViT's; one with every kind of rest; the last block's; fewer tokens than a vector is wide.
  for (const Case c : {Case{197, 197, 64}, Case{53, 53, 16}, Case{50, 1, 32}, Case{5, 5, 32}}) {
    SCOPED_TRACE(c.tokens);
    const double scale = 1 / std::sqrt(static_cast<double>(c.d));
    const at::Tensor qkv = at::randn({c.tokens, 3, c.d}).to(this->kType);
    const at::Tensor d_o = at::randn({c.queries, c.d}).to(this->kType);
    at::Tensor wide = qkv.to(at::kDouble).requires_grad_();
    const at::Tensor scores =
        at::mm(wide.select(1, 0).slice(0, 0, c.queries), wide.select(1, 1).t()) * scale;
    const at::Tensor expected = at::mm(at::softmax(scores, 1), wide.select(1, 2));
    expected.backward(d_o.to(at::kDouble));
    const HeadShape shape{c.tokens, c.queries, c.d, 3 * c.d, c.d};
    this->ForEachSet([&](const Kernels<T>& kernels) {
      const at::Tensor o = at::empty({c.queries, c.d}, this->kType);
      const at::Tensor saved = at::empty({kernels.attention_saved(shape)});
      const at::Tensor scratch = at::empty({kernels.attention_scratch(shape)});
      const at::Tensor d_qkv = at::full_like(qkv, 77);
      const T* q = Data<T>(qkv);
      T* dq = Data<T>(d_qkv);
      kernels.attention(shape, q, q + c.d, q + 2 * c.d, Data<T>(o), Data<float>(saved),
                        Data<float>(scratch));
      // P, where products are of pairs, and o round to bf16; the last block's o is 32 numbers,
      // whose roundings need not be spread evenly.
      EXPECT_LT(Distance(o, expected.detach()), this->Tolerance(Fp32Sums(c.tokens + c.d), 3));
      kernels.attention_backward(shape, q, q + c.d, q + 2 * c.d, Data<T>(o), Data<float>(saved),
                                 Data<T>(d_o), {dq, dq + c.d, dq + 2 * c.d}, Data<float>(scratch));
      // P, dS, o and the result, and again few numbers.
      for (int part = 0; part < 3; ++part) {
        EXPECT_LT(Distance(d_qkv.select(1, part), wide.grad().select(1, part)),
                  this->Tolerance(Fp32Sums(2 * (c.tokens + c.d)), 5))
            << "part " << part;
      }
    });
  }
}

// Every score about -200: a padded key's score of 0 must not count.
TYPED_TEST(KernelTest, AttentionIsRightWhereAllScoresAreLow) {
  using T = TypeParam;
  const int64_t tokens = 53, d = 32;
  const at::Tensor qkv = at::randn({tokens, 3, d}) * 0.01;
  qkv.select(1, 0).add_(6);
  qkv.select(1, 1).sub_(6);
  const at::Tensor packed = qkv.to(this->kType), d_o = at::randn({tokens, d}).to(this->kType);
  const HeadShape shape{tokens, tokens, d, 3 * d, d};
  const at::Tensor wide = packed.to(at::kDouble);
  const at::Tensor scores = at::mm(wide.select(1, 0), wide.select(1, 1).t()) / std::sqrt(d);
  ASSERT_LT(scores.max().template item<double>(), -150);
  const at::Tensor expected = at::mm(at::softmax(scores, 1), wide.select(1, 2));
  this->ForEachSet([&](const Kernels<T>& kernels) {
    const at::Tensor o = at::empty({tokens, d}, this->kType);
    const at::Tensor saved = at::empty({kernels.attention_saved(shape)});
    const at::Tensor scratch = at::empty({kernels.attention_scratch(shape)});
    const at::Tensor d_qkv = at::empty_like(packed);
    const T* q = Data<T>(packed);
    T* dq = Data<T>(d_qkv);
    kernels.attention(shape, q, q + d, q + 2 * d, Data<T>(o), Data<float>(saved),
                      Data<float>(scratch));
    // A score of 200 in fp32 is off by some 2^-17, which is then P's relative error.
    EXPECT_LT(Distance(o, expected), this->Tolerance(0, 2) + 5e-5);
    kernels.attention_backward(shape, q, q + d, q + 2 * d, Data<T>(o), Data<float>(saved),
                               Data<T>(d_o), {dq, dq + d, dq + 2 * d}, Data<float>(scratch));
    EXPECT_TRUE(at::isfinite(d_qkv).all().template item<bool>());
  });
}

// What stands for a padded key's score lies below any score that a key can have.
TYPED_TEST(KernelTest, AttentionIsRightWhereScoresAreTheLowestThatThereAre) {
  for (const double size : {1e18, 1e20}) {  // of products: -16e36 is a float, -16e40 is not
    at::Tensor qkv = at::randn({5, 3, 16});
    qkv.select(1, 0).fill_(-size);
    qkv.select(1, 1).fill_(size);
    qkv[3][1].fill_(size / 2);  // of all keys the least unlike: has all the weight
    qkv = qkv.to(this->kType);
    this->ForEachSet([&](const Kernels<TypeParam>& kernels) {
      const at::Tensor o = this->Attention(kernels, qkv);
      EXPECT_TRUE(size < 1e19 ? o.equal(qkv[3][2].expand({5, 16}))
                              : !at::isfinite(o).any().template item<bool>());
    });
  }
}

TYPED_TEST(KernelTest, AttentionHidesNothingThatIsNotFinite) {
  const int64_t tokens = 53, d = 32;
  struct Case {
    int64_t part;      // q, k or v
    int64_t token;     // of which the value is
    double value;      // in place of its numbers
    int64_t affected;  // rows of the output
  };
  for (const Case& c : {Case{0, 7, NAN, 1}, Case{1, 7, NAN, tokens}, Case{2, 7, NAN, tokens},
                        Case{0, 7, INFINITY, 1}}) {
    const at::Tensor qkv = at::randn({tokens, 3, d});
    qkv.select(1, c.part).select(0, c.token).fill_(c.value);
    const at::Tensor packed = qkv.to(this->kType);
    this->ForEachSet([&](const Kernels<TypeParam>& kernels) {
      const at::Tensor bad = at::isfinite(this->Attention(kernels, packed)).all(1).logical_not();
      EXPECT_EQ(bad.sum().template item<int64_t>(), c.affected) << c.part << " " << c.value;
    });
  }
}

// Without the kernels: ops.h's definition, on the scalar Philox.
float MaskAt(const DropoutMask& mask, int64_t sample, int64_t element) {
  const auto block = static_cast<uint32_t>(element / 128 * 16 + element % 16);
  const std::array<uint32_t, 4> words =
      Philox(mask.key, {block, static_cast<uint32_t>(mask.first_sample + sample),
                        static_cast<uint32_t>(mask.step), static_cast<uint32_t>(mask.step >> 32)});
  const uint32_t half = words[element / 32 % 4] >> (element / 16 % 2 * 16) & 0xffff;
  return half < mask.threshold ? 0 : mask.scale();
}

TYPED_TEST(KernelTest, DropoutMasksEqualTheScalarReference) {
  using T = TypeParam;
  const DropoutMask mask{{0x12345678, 0x9abcdef0}, 19661, (int64_t{5} << 32) + 3, 11, 1};
  const int64_t n = 128 * 3 + 48;
  const at::Tensor x = at::ones({n}).to(this->kType);
  const at::Tensor expected = at::empty({n});
  for (int64_t i = 0; i < n; ++i) expected[i] = MaskAt(mask, 2, 256 + i);
  this->ForEachSet([&](const Kernels<T>& kernels) {
    const MaskSource source{mask.key.k0, mask.key.k1, 13, 3, 5, mask.threshold, mask.scale()};
    const at::Tensor y = at::empty_like(x), sum = at::full_like(x, 2);
    kernels.dropout(source, 256, n, Data<T>(x), Data<T>(y));
    EXPECT_TRUE(y.equal(expected.to(this->kType)));
    kernels.dropout_add(source, 256, n, Data<T>(x), Data<T>(sum));
    EXPECT_TRUE(sum.equal((expected + 2).to(this->kType)));
  });
}

TYPED_TEST(KernelTest, Int8RowsAndTheirNumbersFollowTheFormula) {
  using T = TypeParam;
  const int64_t rows = 5, dim = 112;
  at::Tensor x = at::randn({rows, dim}).to(this->kType);
  x[1].fill_(0);
  x[2][17] = 40;     // above the threshold: zero, and no part of the row's scale
  x[3].mul_(1e-38);  // 127 / its largest is more than a float holds
  const at::Tensor columns = at::rand({dim}) + 0.5;
  const at::Tensor kept = x.to(at::kFloat).masked_fill(x.to(at::kFloat).abs() >= 9, 0) * columns;
  const at::Tensor absmax = kept.abs().amax(1);
  const at::Tensor factor = (127 / absmax).masked_fill(absmax < 127 * 0x1p-128, 0);
  const at::Tensor expected = at::round(kept * factor.unsqueeze(1)).to(at::kChar);
  const at::Tensor bias = at::randn({dim}), add = at::randn({rows, dim});
  const at::Tensor multiply = at::randn({rows, dim}).to(this->kType);
  const at::Tensor sums = at::randint(-100000, 100000, {rows, dim}, at::kInt);
  this->ForEachSet([&](const Kernels<T>& kernels) {
    const at::Tensor codes = at::empty({rows, dim}, at::kChar), scales = at::empty({rows});
    kernels.quantize_rows(rows, dim, Data<T>(x), Data<float>(columns), 9, Data<int8_t>(codes),
                          Data<float>(scales));
    EXPECT_TRUE(codes.equal(expected));
    EXPECT_TRUE(scales.equal(absmax / 127));
    const at::Tensor y = at::empty_like(multiply);
    kernels.finish_int8(
        rows, dim, Data<int32_t>(sums), Data<float>(scales),
        {Data<float>(columns), Data<float>(bias), Data<float>(add), Data<T>(multiply), Data<T>(y)});
    const at::Tensor wide = scales.unsqueeze(1).to(at::kDouble) * sums * columns + bias + add;
    EXPECT_LT(Distance(y, wide * multiply), this->Tolerance(2 * Roundings(kUnitFp32, 5), 1));
  });
}

TEST(Ops, DropoutMasksFollowTheSampleWhateverTheBatch) {
  const at::Tensor x = at::ones({6 * 50, 96});
  DropoutMask mask{MakeKey(1, Purpose::kLoraDropout, 3), 6554, 9, 4, 50};
  const at::Tensor whole = Dropout(x, mask);
  for (const int64_t sample : {0, 3, 5}) {
    for (const int64_t element : {0, 127, 4095, 4096, 4799}) {
      EXPECT_EQ(whole.view({6, -1})[sample][element].item<float>(), MaskAt(mask, sample, element));
    }
  }
  // Kept: 0.9 of 28,800, standard deviation 51, of draws that are the same in every run; scaled so
  // that the mean stays 1.
  EXPECT_NEAR(whole.count_nonzero().item<double>(), 25920, 3 * 51);
  EXPECT_NEAR(whole.mean().item<double>(), 1, 3 * 51 / 25920.0);
  mask.first_sample = 7;
  EXPECT_TRUE(Dropout(x.slice(0, 150), mask).equal(whole.slice(0, 150)));
}

}  // namespace
}  // namespace qsweep::engine
