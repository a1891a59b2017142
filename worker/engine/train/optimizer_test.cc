#include "worker/engine/train/optimizer.h"

#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

TrainableParameter Parameter(const std::string& name, const at::Tensor& value, bool decay) {
  TrainableParameter parameter;
  parameter.name = name;
  parameter.group = "group";
  parameter.value = value.clone();
  parameter.decay = decay;
  return parameter;
}

class OptimizerTest : public testing::Test {
 protected:
  void SetUp() override { at::manual_seed(1); }
};

// 50 steps beside torch's own, with a rate that changes and makes steps as large as the values: a
// step that is off shows. Each rounds moments, step and value some ten times a step.
TEST_F(OptimizerTest, StepsAsTorchDoes) {
  const at::Tensor decayed = at::randn({33, 7}), plain = at::randn({5});
  AdamW ours({Parameter("decayed", decayed, true), Parameter("plain", plain, false)}, 0.1);
  std::vector<at::Tensor> theirs = {decayed.clone().set_requires_grad(true),
                                    plain.clone().set_requires_grad(true)};
  const auto options = [](double decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions().weight_decay(decay));
  };
  torch::optim::AdamW reference({{{theirs[0]}, options(0.1)}, {{theirs[1]}, options(0)}});
  for (int step = 1; step <= 50; ++step) {
    const double learning_rate = 1.0 / step;
    for (size_t i = 0; i < theirs.size(); ++i) {
      const at::Tensor gradient = at::randn(theirs[i].sizes());
      ours.slots()[i].gradient.copy_(gradient);
      theirs[i].mutable_grad() = 0.5 * gradient;
    }
    for (auto& group : reference.param_groups()) {
      static_cast<torch::optim::AdamWOptions&>(group.options()).lr(learning_rate);
    }
    ours.Update(step, learning_rate, 0.5);
    reference.step();
  }
  for (size_t i = 0; i < theirs.size(); ++i) {
    EXPECT_LT(Distance(ours.slots()[i].parameter.value, theirs[i].detach()),
              Roundings(kUnitFp32, 2 * 10 * 50));
    EXPECT_GT((theirs[i] - (i == 0 ? decayed : plain)).abs().max().item<float>(), 1e-2);
  }
}

TEST_F(OptimizerTest, ClipFactorBringsTheNormToItsLimit) {
  EXPECT_DOUBLE_EQ(ClipFactor(100, 0), 1);
  EXPECT_DOUBLE_EQ(ClipFactor(0.5, 1), 1);
  EXPECT_DOUBLE_EQ(ClipFactor(4, 1), 1 / (4 + 1e-6));  // as torch does
}

}  // namespace
}  // namespace qsweep::engine
