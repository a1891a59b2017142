#include "worker/engine/model/vit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/spec/models.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/model/assemble.h"
#include "worker/engine/model/base_tensors.h"
#include "worker/engine/model/golden_vit.h"
#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

at::Tensor Images() { return Golden().tensors.at("images"); }
at::Tensor Labels() { return Golden().tensors.at("labels").to(at::kLong); }

struct Pass {
  at::Tensor logits;
  std::map<std::string, at::Tensor> gradients;
};

std::vector<at::Tensor> Zeros(const Vit& vit) {
  std::vector<at::Tensor> zeros;
  for (const TrainableParameter& parameter : vit.trainable()) {
    zeros.push_back(at::zeros_like(parameter.value));
  }
  return zeros;
}

// Loss summed, so that parts of a batch add up.
at::Tensor AddPass(const Vit& vit, const at::Tensor& images, const at::Tensor& labels,
                   const ForwardContext& context, Gradients& gradients) {
  at::Tensor found;
  const auto loss = [&](const at::Tensor& logits) {
    found = logits;
    const at::Tensor leaf = logits.clone().requires_grad_();
    at::cross_entropy_loss(leaf, labels, {}, at::Reduction::Sum).backward();
    return leaf.grad();
  };
  vit.AddGradients(images, context, loss, gradients);
  return found;
}

Pass ByName(const Vit& vit, const at::Tensor& logits, const Gradients& gradients) {
  Pass pass;
  pass.logits = logits;
  for (size_t i = 0; i < vit.trainable().size(); ++i) {
    pass.gradients[vit.trainable()[i].name] = gradients.sums()[i];
  }
  return pass;
}

Pass RunPass(const Vit& vit, const ForwardContext& context = {}) {
  Gradients gradients(Zeros(vit));
  const at::Tensor logits = AddPass(vit, Images(), Labels(), context, gradients);
  return ByName(vit, logits, gradients);
}

void ExpectSame(const Pass& a, const Pass& b) {
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (const auto& [name, gradient] : b.gradients) {
    EXPECT_TRUE(a.gradients.at(name).equal(gradient)) << name;
  }
}

void ExpectClose(const Pass& a, const Pass& b, double tolerance) {
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (const auto& [name, gradient] : b.gradients) {
    EXPECT_LT(Distance(a.gradients.at(name), gradient), tolerance) << name;
  }
}

// The golden values are exact to fp32's rounding. On a path from the pixels to the logits some 700
// terms are summed, and as many on the way back; what norms and softmax subtract makes that twice
// as much. A wrong term shows as 1e-2 or more.
const double kOfLogits = Fp32Sums(700), kOfGradients = 2 * Fp32Sums(2 * 700);
// And twenty roundings to bf16 each way, of which attention's, small differences of larger numbers,
// make as much again.
const double kBf16OfLogits = 2 * Roundings(kUnitBf16, 20), kBf16OfGradients = 2 * kBf16OfLogits;

TEST(VitGolden, LoraLogitsAndGradients) {
  const auto vit = Make(Spec("lora"));
  const Pass pass = RunPass(*vit);
  EXPECT_LT(Distance(pass.logits, Golden().tensors.at("lora_logits")), kOfLogits);
  ASSERT_EQ(pass.gradients.size(), 2 * 4 * 2 + 2u);
  for (const auto& [name, gradient] : GoldenPart("lora_gradient/").tensors) {
    const std::string suffix = name.starts_with("head.") ? "" : ".weight";
    const at::Tensor ours = pass.gradients.at("base_model.model." + name + suffix) / 4;
    EXPECT_LT(Distance(ours, gradient), kOfGradients) << name;
  }
}

TEST(VitGolden, FullLogitsAndGradients) {
  const auto vit = Make(Spec("full"));
  const Pass pass = RunPass(*vit);
  EXPECT_LT(Distance(pass.logits, Golden().tensors.at("full_logits")), kOfLogits);
  const TensorFile golden = GoldenPart("full_gradient/");
  ASSERT_EQ(pass.gradients.size(), golden.tensors.size());
  for (const auto& [name, gradient] : golden.tensors) {
    const at::Tensor ours = pass.gradients.at(name).view(gradient.sizes()) / 4;
    // What the k's bias adds to a row of scores, softmax takes away: its gradient is zero but for
    // rounding, so that part is left to the comparison of the whole.
    EXPECT_LT(Distance(ours, gradient), kOfGradients) << name;
  }
}

TEST(VitGolden, LinearProbeTrainsTheHeadAlone) {
  const auto vit = Make(Spec("linear_probe"));
  const Pass pass = RunPass(*vit);
  ASSERT_EQ(pass.gradients.size(), 2u);
  for (const char* name : {"head.weight", "head.bias"}) {
    const at::Tensor golden = Golden().tensors.at(std::string("full_gradient/") + name);
    EXPECT_LT(Distance(pass.gradients.at(name) / 4, golden), kOfGradients) << name;
  }
}

TEST(VitGolden, PositionEmbeddingIsResampledAsTimmDoes) {
  for (const int64_t grid : {3, 6}) {
    const auto base = LoadBase(GoldenPart("base/"), kShape, 8 * grid, 5, 1);
    ASSERT_TRUE(base.ok()) << base.status();
    const at::Tensor golden = Golden().tensors.at("pos_embed_" + std::to_string(grid));
    // Two sums of four, by weights of either sign that are rounded themselves.
    EXPECT_LT(Distance(base->at("pos_embed"), golden), 4 * Fp32Sums(8));
  }
}

TEST(Vit, CheckpointingChangesNoGradient) {
  v1::ExperimentSpec spec = Spec("lora");
  spec.mutable_lora()->set_dropout(0.1);
  for (const at::ScalarType compute : {at::kFloat, at::kBFloat16}) {
    const auto vit = Make(spec, compute);
    ForwardContext context{true, 7, 0, Checkpointing::kNone};
    const Pass none = RunPass(*vit, context);
    for (const Checkpointing mode : {Checkpointing::kSelective, Checkpointing::kFull}) {
      context.checkpointing = mode;
      ExpectSame(RunPass(*vit, context), none);
    }
  }
}

TEST(Vit, FullTrainingCheckpointsToo) {
  const auto vit = Make(Spec("full"));
  const Pass none = RunPass(*vit, {true, 0, 0, Checkpointing::kNone});
  ExpectSame(RunPass(*vit, {true, 0, 0, Checkpointing::kSelective}), none);
  ExpectSame(RunPass(*vit, {true, 0, 0, Checkpointing::kFull}), none);
}

TEST(Vit, AMicroBatchSplitGivesTheSameGradients) {
  v1::ExperimentSpec spec = Spec("lora");
  spec.mutable_lora()->set_dropout(0.3);
  const auto vit = Make(spec);
  const Pass whole = RunPass(*vit, {true, 3, 0});
  Gradients sums(Zeros(*vit));
  for (const int64_t first : {0, 1, 3}) {
    const int64_t end = first == 0 ? 1 : first == 1 ? 3 : 4;
    AddPass(*vit, Images().slice(0, first, end), Labels().slice(0, first, end), {true, 3, first},
            sums);
  }
  ExpectClose(ByName(*vit, {}, sums), whole, kOfGradients);
}

TEST(Vit, DropoutFollowsTheStepAndOnlyTraining) {
  v1::ExperimentSpec spec = Spec("lora");
  spec.mutable_lora()->set_dropout(0.3);
  const auto vit = Make(spec);
  const auto logits = [&](bool training, int64_t step) {
    return vit->Forward(Images(), {training, step});
  };
  EXPECT_TRUE(logits(true, 1).equal(logits(true, 1)));
  EXPECT_GT(Distance(logits(true, 1), logits(true, 2)), 1e-3);
  EXPECT_LT(Distance(logits(false, 1), Golden().tensors.at("lora_logits")), kOfLogits);
}

TEST(Vit, Bf16IsCloseToFp32) {
  const Pass exact = RunPass(*Make(Spec("lora")));
  const Pass rounded = RunPass(*Make(Spec("lora"), at::kBFloat16));
  EXPECT_LT(Distance(rounded.logits, exact.logits), kBf16OfLogits);
  ExpectClose(rounded, exact, kBf16OfGradients);
}

TEST(Vit, BackwardStopsWhereNothingBelowTrains) {
  v1::ExperimentSpec spec = Spec("lora");
  spec.mutable_lora()->clear_target_modules();
  spec.mutable_lora()->add_target_modules("blocks.1.mlp.fc1");
  const auto vit = Make(spec);
  EXPECT_THAT(vit->adapted_modules(), testing::ElementsAre("blocks.1.mlp.fc1"));
  // The same adapter in a model where everything is adapted, the others switched off.
  const auto all = Make(Spec("lora"));
  {
    for (const TrainableParameter& parameter : all->trainable()) {
      const bool other = parameter.name.find("lora_B") != std::string::npos &&
                         parameter.name.find("blocks.1.mlp.fc1") == std::string::npos;
      if (other) parameter.value.detach().zero_();
    }
  }
  const Pass few = RunPass(*vit), many = RunPass(*all);
  for (const auto& [name, gradient] : few.gradients) {
    EXPECT_LT(Distance(gradient, many.gradients.at(name)), kOfGradients) << name;
  }
}

TEST(Vit, AQuantizedBaseTrainsItsAdapters) {
  for (const int bits : {8, 4}) {
    v1::ExperimentSpec spec = Spec("lora");
    spec.mutable_quantization()->set_bits(bits);
    const auto vit = Make(spec);
    EXPECT_EQ(vit->quantization().layers_quantized(), 8);
    const Pass pass = RunPass(*vit);
    // The formats' errors are 0.7 % of the weights (int8) and 9 % (nf4): a walk of eight layers.
    const double of_weights = bits == 8 ? 0.007 : 0.09;
    EXPECT_LT(Distance(pass.logits, Golden().tensors.at("lora_logits")),
              std::sqrt(8.) * of_weights);
    for (const auto& [name, gradient] : pass.gradients) {
      EXPECT_GT(gradient.norm().item<double>(), 0) << name;
    }
  }
}

TEST(Vit, BytesOfADeitTinyWithTenClasses) {
  const ModelShape& tiny = *FindModel("deit_tiny_patch16_224");
  const NamedTensors base = DrawBase(tiny, 224, 10, 1);
  const auto facts = [&](int bits, bool double_quant) {
    v1::ExperimentSpec spec = Spec("lora");
    spec.mutable_quantization()->set_bits(bits);
    spec.mutable_quantization()->set_double_quant(double_quant);
    const auto parts = AssembleVit(spec, tiny, 224, {}, base);
    EXPECT_TRUE(parts.ok()) << parts.status();
    EXPECT_EQ(parts->total_parameters, 5717416 - 193000 + 1930);
    return parts->quantization;
  };
  // Everything but the 48 matrices of the blocks is held in fp32.
  const int64_t matrices = 12 * 12 * 192 * 192, rest = 4 * (5717416 - 193000 + 1930 - matrices);
  const v1::QuantizationFacts none = facts(0, false), int8 = facts(8, false), nf4 = facts(4, false),
                              nf4dq = facts(4, true);
  EXPECT_EQ(none.bytes_before(), 4 * matrices + rest);  // 22.10 MB
  EXPECT_EQ(none.bytes_after(), none.bytes_before());
  EXPECT_EQ(int8.bytes_after(), matrices + 12 * 9 * 192 * 4 + rest);      // 6.26 MB
  EXPECT_EQ(nf4.bytes_after(), matrices / 2 + matrices / 64 * 4 + rest);  // 3.86 MB
  // Of a block's matrices 1728, 576, 2304 and 2304 scales: a byte each, four for each 256 that are
  // begun, and four of an offset.
  const int64_t scales = 12 * (6912 + 4 * (7 + 3 + 9 + 9) + 4 * 4);
  EXPECT_EQ(nf4dq.bytes_after(), matrices / 2 + scales + rest);  // 3.61 MB
  EXPECT_DOUBLE_EQ(nf4.bits_per_weight(), 4.5);
  EXPECT_DOUBLE_EQ(nf4dq.bits_per_weight(),
                   4 + 8 * static_cast<double>(scales) / static_cast<double>(matrices));
  EXPECT_EQ(nf4dq.layers_quantized(), 48);
  EXPECT_EQ(nf4dq.layer_errors_size(), 48);
}

// The numbers are tests/golden/vit.py --deit-tiny's, in float64.
TEST(VitGolden, DeitTinyLoadsByName) {
  const std::string path =
      QSWEEP_SOURCE_DIR "/../shared/assets/deit_tiny_patch16_224/model.safetensors";
  if (!PathExists(path)) GTEST_SKIP() << path << " is not there";
  const auto weights = ReadTensorFile(path);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const at::Tensor x = at::arange(224, at::kDouble), y = x.view({224, 1});
  const at::Tensor c = at::arange(1, 4, at::kDouble).view({3, 1, 1});
  const at::Tensor image = at::sin(0.05 * c * x + 0.03 * y).to(at::kFloat).unsqueeze(0);
  const at::Tensor first = at::tensor({-0.94407, 1.18544, -0.81620, -0.66444, -0.08329, -0.14963});
  for (const at::ScalarType compute : {at::kFloat, at::kBFloat16}) {
    const auto vit =
        Vit::Create(Spec("lora"), *FindModel("deit_tiny_patch16_224"), {compute, 1000}, &*weights);
    ASSERT_TRUE(vit.ok()) << vit.status();
    const at::Tensor logits = (*vit)->Forward(image, {})[0];
    EXPECT_EQ(logits.argmax().item<int64_t>(), 723);
    // Twelve blocks sum 1600 terms each, or round to bf16 seven times. A logit is about 1, so that
    // is what it and the norm of a thousand are off by; some are off by twice that, and the norm by
    // what all have in common.
    const double off = compute == at::kFloat ? Fp32Sums(12 * 1600) : Roundings(kUnitBf16, 12 * 7);
    const double given = 0.5e-5;  // the decimals
    EXPECT_NEAR(logits.norm().item<double>(), 36.06458, 6 * off + given);
    EXPECT_LT((logits.slice(0, 0, 6) - first).abs().max().item<double>(), 2 * off + given);
  }
}

TEST(Vit, TheSamePassGivesTheSameBits) {
  v1::ExperimentSpec spec = Spec("lora");
  spec.mutable_lora()->set_dropout(0.1);
  const auto vit = Make(spec, at::kBFloat16);
  const ForwardContext context{true, 2, 0};
  const Pass pass = RunPass(*vit, context);
  for (int i = 0; i < 3; ++i) ExpectSame(RunPass(*vit, context), pass);
}

}  // namespace
}  // namespace qsweep::engine
