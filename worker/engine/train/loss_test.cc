#include "worker/engine/train/loss.h"

#include <gtest/gtest.h>

#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

// Beside torch's own in float64, in which ours computes, too: a gradient is rounded once.
TEST(CrossEntropyGradientTest, IsTorchs) {
  at::manual_seed(1);
  const at::Tensor logits = 5 * at::randn({7, 10});
  const at::Tensor labels = at::randint(10, {7}, at::kLong);
  for (const double smoothing : {0.0, 0.1, 1.0}) {
    const at::Tensor leaf = logits.to(at::kDouble).requires_grad_();
    const at::Tensor expected =
        at::cross_entropy_loss(leaf, labels, {}, at::Reduction::Mean, -100, smoothing);
    expected.backward();
    double loss = 0;
    const at::Tensor gradient = CrossEntropyGradient(logits, labels, smoothing, 1.0 / 7, &loss);
    EXPECT_NEAR(loss, expected.item<double>(), 1e-13);
    EXPECT_LT(Distance(gradient, leaf.grad()), kUnitFp32);
  }
}

TEST(CrossEntropyGradientTest, LargeLogitsDoNotOverflow) {
  double loss = 0;
  const at::Tensor logits = at::tensor({1e30f, 0.f}).view({1, 2});
  const at::Tensor gradient = CrossEntropyGradient(logits, at::zeros({1}, at::kLong), 0, 1, &loss);
  EXPECT_EQ(loss, 0);
  EXPECT_TRUE(gradient.equal(at::zeros({1, 2})));
}

}  // namespace
}  // namespace qsweep::engine
