// What a module may have of its own: rank, alpha, bits, another beginning of its adapter, training
// in full, training for quantization.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "common/spec/spec.h"
#include "worker/engine/model/adapter_start.h"
#include "worker/engine/model/base_tensors.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

const ModelShape kShape = {"small", 32, 8, 64, 2, 2, 4, 5, 1e-6, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};

TensorFile Weights() {
  TensorFile file;
  for (const auto& [name, tensor] : DrawBase(kShape, 32, 5, 11)) {
    // Larger than an initialisation, so that no part is negligible; norms of unequal channels.
    file.tensors[name] =
        DrawNormal(tensor.sizes(), name.find("norm") != std::string::npos ? 1 : 0.2, 12,
                   static_cast<uint32_t>(file.tensors.size()));
  }
  return file;
}

v1::ExperimentSpec Spec(int bits) {
  v1::ExperimentSpec spec = DefaultSpec();
  spec.mutable_lora()->set_rank(4);
  spec.mutable_lora()->set_alpha(8);
  spec.mutable_lora()->set_dropout(0);
  spec.mutable_lora()->clear_target_modules();
  spec.mutable_lora()->add_target_modules("all-linear");
  spec.mutable_quantization()->set_bits(bits);
  return spec;
}

std::unique_ptr<Vit> Make(const v1::ExperimentSpec& spec, const TensorFile& weights) {
  auto vit = Vit::Create(spec, kShape, {at::kFloat, 5}, &weights);
  EXPECT_TRUE(vit.ok()) << vit.status();
  return *std::move(vit);
}

std::unique_ptr<Vit> MakeUnadapted(const TensorFile& weights) {
  v1::ExperimentSpec spec = Spec(0);
  spec.mutable_training()->set_method("linear_probe");
  return Make(spec, weights);
}

at::Tensor Images() { return DrawNormal({4, 3, 32, 32}, 1, 13, 0); }
at::Tensor Logits(const Vit& vit) { return vit.Forward(Images(), ForwardContext()); }

// Moves every trainable value, B's too, as training would.
void Train(Vit& vit) {
  uint32_t number = 100;
  for (const TrainableParameter& parameter : vit.trainable()) {
    parameter.value.add_(DrawNormal(parameter.value.sizes(), 0.05, 14, number++));
  }
  vit.Requantize();
}

at::Tensor Value(const Vit& vit, const std::string& name) {
  for (const TrainableParameter& parameter : vit.trainable()) {
    if (parameter.name == "base_model.model." + name) return parameter.value;
  }
  ADD_FAILURE() << name << " does not train";
  return at::Tensor();
}

// On a path from the pixels to the logits some 1300 terms are summed, on either side.
const double kOfLogits = Fp32Sums(2 * 1300);

TEST(Adapters, RanksAndAlphasOfTheirOwn) {
  v1::ExperimentSpec spec = Spec(0);
  spec.mutable_lora()->add_rank_pattern("blocks.0.mlp.fc1=2");
  spec.mutable_lora()->add_rank_pattern("fc1=6");
  spec.mutable_lora()->add_alpha_pattern("qkv=3");
  const std::unique_ptr<Vit> vit = Make(spec, Weights());
  EXPECT_THAT(Value(*vit, "blocks.0.mlp.fc1.lora_A.weight").sizes(), ElementsAre(2, 64));
  EXPECT_THAT(Value(*vit, "blocks.1.mlp.fc1.lora_B.weight").sizes(), ElementsAre(256, 6));
  EXPECT_THAT(Value(*vit, "blocks.1.mlp.fc2.lora_A.weight").sizes(), ElementsAre(4, 256));
  const json config = json::parse(vit->PeftConfigJson("small"));
  EXPECT_EQ(config["r"], 4);  // the first module's: blocks.0.attn.qkv
  EXPECT_EQ(config["lora_alpha"], 3);
  EXPECT_EQ(config["rank_pattern"], json({{"blocks.0.mlp.fc1", 2}, {"blocks.1.mlp.fc1", 6}}));
  EXPECT_EQ(config["alpha_pattern"].size(), 6u);
  EXPECT_EQ(config["alpha_pattern"]["blocks.1.attn.proj"], 8);
  EXPECT_EQ(config["target_modules"].size(), 8u);
}

TEST(Adapters, MergedWeightsComputeTheSame) {
  for (const int bits : {0, 4, 8}) {
    const std::unique_ptr<Vit> vit = Make(Spec(bits), Weights());
    Train(*vit);
    EXPECT_LT(Distance(Logits(*MakeUnadapted(vit->Merged())), Logits(*vit)), kOfLogits) << bits;
  }
}

// PEFT's "proj" is the patch embedding's convolution, too; ours are of the blocks.
TEST(Adapters, PatternsAreOfTheBlocks) {
  v1::ExperimentSpec spec = Spec(4);
  spec.mutable_lora()->clear_target_modules();
  spec.mutable_lora()->add_target_modules("qkv");
  spec.mutable_lora()->add_modules_to_save("proj");
  std::unique_ptr<Vit> vit = Make(spec, Weights());
  EXPECT_TRUE(Value(*vit, "blocks.0.attn.proj.weight").defined());
  for (const TrainableParameter& parameter : vit->trainable()) {
    EXPECT_THAT(parameter.name, testing::Not(HasSubstr("patch_embed")));
  }
}

TEST(Adapters, SavedModulesTrainInFull) {
  v1::ExperimentSpec spec = Spec(4);
  spec.mutable_lora()->clear_target_modules();
  spec.mutable_lora()->add_target_modules("qkv");
  for (const char* module : {"norm", "blocks.*.norm2", "blocks.1.mlp.fc2"}) {
    spec.mutable_lora()->add_modules_to_save(module);
  }
  const std::unique_ptr<Vit> vit = Make(spec, Weights());
  for (const char* name : {"norm.weight", "norm.bias", "blocks.0.norm2.weight",
                           "blocks.1.mlp.fc2.weight", "blocks.1.mlp.fc2.bias", "head.weight"}) {
    EXPECT_TRUE(Value(*vit, name).defined());
  }
  EXPECT_EQ(vit->quantization().layers_quantized(), 7);
  EXPECT_THAT(json::parse(vit->PeftConfigJson("small"))["modules_to_save"],
              testing::UnorderedElementsAre("head", "norm", "blocks.0.norm2", "blocks.1.norm2",
                                            "blocks.1.mlp.fc2"));
  // Each gets a gradient.
  std::vector<at::Tensor> zeros;
  for (const TrainableParameter& parameter : vit->trainable()) {
    zeros.push_back(at::zeros_like(parameter.value));
  }
  Gradients gradients(zeros);
  vit->AddGradients(
      Images(), ForwardContext{.training = true},
      [](const at::Tensor& logits) { return at::softmax(logits, 1) - 0.2; }, gradients);
  for (size_t i = 0; i < zeros.size(); ++i) {
    const std::string& name = vit->trainable()[i].name;
    if (name.find("lora_A") != std::string::npos) continue;  // B is still zero
    EXPECT_TRUE(zeros[i].any().item<bool>()) << name;
  }
}

TEST(Adapters, PissaBeginsWithTheWeightItself) {
  v1::ExperimentSpec spec = Spec(0);
  spec.mutable_lora()->set_init_lora_weights("pissa");
  const TensorFile weights = Weights();
  const std::unique_ptr<Vit> vit = Make(spec, weights);
  EXPECT_LT(Distance(Logits(*vit), Logits(*MakeUnadapted(weights))), kOfLogits);
  // A and B are the largest singular directions: as good as any rank 4 can be.
  const at::Tensor w = weights.tensors.at("blocks.1.mlp.fc1.weight");
  const at::Tensor ba = at::matmul(Value(*vit, "blocks.1.mlp.fc1.lora_B.weight"),
                                   Value(*vit, "blocks.1.mlp.fc1.lora_A.weight")) *
                        2;
  const at::Tensor rest = std::get<1>(at::linalg_svd(w)).slice(0, 4);
  // A singular value is a sum of 256 terms, as good as those of the largest.
  EXPECT_NEAR((w - ba).to(at::kDouble).norm().item<double>(),
              rest.to(at::kDouble).norm().item<double>(),
              2 * Fp32Sums(256) * rest[0].item<double>());
}

// Quantizing what the adapter leaves costs less than quantizing all (arXiv 2404.02948, section 4).
TEST(Adapters, PissaLowersTheErrorOfQuantization) {
  v1::ExperimentSpec spec = Spec(4);
  const TensorFile weights = Weights();
  const auto error = [&](const char* init) {
    spec.mutable_lora()->set_init_lora_weights(init);
    const TensorFile merged = Make(spec, weights)->Merged();
    double sum = 0;
    for (const auto& [name, tensor] : weights.tensors) {
      sum += (merged.tensors.at(name) - tensor).square().sum().item<double>();
    }
    return sum;
  };
  const double plain = error("default");
  EXPECT_LT(error("pissa"), 0.95 * plain);
  EXPECT_LT(error("loftq"), 0.95 * plain);
}

TEST(Adapters, PissasProductIsAnAdapterOfTheOriginalWeights) {
  v1::ExperimentSpec spec = Spec(0);
  spec.mutable_lora()->set_init_lora_weights("pissa");
  for (const bool rslora : {false, true}) {
    spec.mutable_lora()->set_use_rslora(rslora);
    const TensorFile weights = Weights();
    const std::unique_ptr<Vit> vit = Make(spec, weights);
    Train(*vit);
    const TensorFile product = vit->Product();
    const json config = json::parse(vit->PeftConfigJson("small"));
    EXPECT_EQ(config["init_lora_weights"], true);
    const double rank = config["r"], alpha = config["lora_alpha"];
    EXPECT_EQ(rank, 8);
    const double scaling = rslora ? alpha / std::sqrt(rank) : alpha / rank;
    const TensorFile merged = vit->Merged();
    for (const std::string& module : vit->adapted_modules()) {
      const std::string name = "base_model.model." + module;
      const at::Tensor added = AdapterProduct({product.tensors.at(name + ".lora_A.weight"),
                                               product.tensors.at(name + ".lora_B.weight")},
                                              scaling);
      EXPECT_LT(Distance(weights.tensors.at(module + ".weight") + added,
                         merged.tensors.at(module + ".weight")),
                Roundings(kUnitFp32, 16))  // four, of numbers up to twice as large
          << module;
    }
  }
}

TEST(Adapters, OverridesGiveLayersTheirOwnBits) {
  v1::ExperimentSpec spec = Spec(4);
  spec.mutable_quantization()->add_overrides("blocks.0.*.fc1=int8");
  spec.mutable_quantization()->add_overrides("blocks.1.*.*=none");
  const v1::QuantizationFacts facts = Make(spec, Weights())->quantization();
  ASSERT_EQ(facts.layers_quantized(), 4);
  EXPECT_EQ(facts.quant_type(), "mixed");
  std::map<std::string, std::string> types;
  for (const v1::LayerError& error : facts.layer_errors())
    types[error.layer()] = error.quant_type();
  EXPECT_EQ(types["blocks.0.mlp.fc1"], "int8");
  EXPECT_EQ(types["blocks.0.mlp.fc2"], "nf4");
  // fc1 and fc2 have 64 x 256 weights each, qkv and proj 64 x 256 together; int8 rows are 64 wide.
  EXPECT_DOUBLE_EQ(facts.bits_per_weight(), (4.5 + 4.5 + 8.5) / 3);

  spec.mutable_quantization()->set_bits(0);
  EXPECT_EQ(Make(spec, Weights())->quantization().layers_quantized(), 1);

  // Of the blocks: not of patch_embed.proj, which only skip_modules may name.
  spec.mutable_quantization()->clear_skip_modules();
  spec.mutable_quantization()->clear_overrides();
  spec.mutable_quantization()->add_overrides("proj=int8");
  EXPECT_EQ(Make(spec, Weights())->quantization().layers_quantized(), 2);
}

TEST(Adapters, LoftqLearnsOnWeightsThatLoseNothing) {
  v1::ExperimentSpec spec = Spec(4), probe = Spec(4);
  probe.mutable_training()->set_method("linear_probe");
  spec.mutable_lora()->set_init_lora_weights("loftq");
  const std::unique_ptr<Vit> vit = Make(spec, Make(probe, Weights())->Merged());
  EXPECT_TRUE(Value(*vit, "blocks.1.mlp.fc1.lora_A.weight").any().item<bool>());
  EXPECT_FALSE(Value(*vit, "blocks.1.mlp.fc1.lora_B.weight").any().item<bool>());
}

TEST(Adapters, TheNormBeforeALayerSteersNf4Ln) {
  v1::ExperimentSpec spec = Spec(4);
  const TensorFile weights = Weights();
  const at::Tensor exact = Logits(*MakeUnadapted(weights));
  const auto error = [&](const char* type) {
    spec.mutable_quantization()->set_quant_type(type);
    return Distance(Logits(*Make(spec, weights)), exact);
  };
  EXPECT_LT(error("nf4_ln"), error("nf4"));
}

// What training for quantization computes with is what deployment will: the merged weights,
// quantized.
TEST(QuantizationAware, ComputesWithTheMergedWeightsQuantized) {
  for (const auto& [bits, double_quant] : {std::pair{4, false}, {4, true}, {8, false}}) {
    v1::ExperimentSpec spec = Spec(bits);
    spec.mutable_quantization()->set_double_quant(double_quant);
    spec.mutable_training()->set_quantization_aware(true);
    const std::unique_ptr<Vit> vit = Make(spec, Weights());
    const at::Tensor before = Logits(*vit);
    Train(*vit);
    v1::ExperimentSpec deployed = Spec(bits);
    deployed.mutable_quantization()->set_double_quant(double_quant);
    deployed.mutable_training()->set_method("linear_probe");
    const std::unique_ptr<Vit> quantized = Make(deployed, vit->Merged());
    EXPECT_TRUE(Logits(*vit).equal(Logits(*quantized)));
    EXPECT_GT(Distance(Logits(*vit), before), 0.01);
    const v1::QuantizationFacts& facts = vit->quantization();
    EXPECT_EQ(facts.layers_quantized(), 8);
    // It holds the weights, and their quantized values expanded to fp32.
    EXPECT_EQ(facts.bytes_after(), facts.bytes_before() + 4 * facts.weights_quantized());
  }
}

// Straight-through: at int8, whose rounding is small, the gradients are close to those of an
// adapter beside an unquantized weight.
TEST(QuantizationAware, GradientsPassStraightThrough) {
  const TensorFile weights = Weights();
  const auto gradients = [&](const v1::ExperimentSpec& spec) {
    const std::unique_ptr<Vit> vit = Make(spec, weights);
    Train(*vit);
    std::vector<at::Tensor> sums;
    for (const TrainableParameter& parameter : vit->trainable()) {
      sums.push_back(at::zeros_like(parameter.value));
    }
    Gradients into(sums);
    vit->AddGradients(
        Images(), ForwardContext{.training = true},
        [](const at::Tensor& logits) { return at::softmax(logits, 1) - 0.2; }, into);
    return sums;
  };
  v1::ExperimentSpec aware = Spec(8);
  aware.mutable_training()->set_quantization_aware(true);
  const std::vector<at::Tensor> through = gradients(aware), beside = gradients(Spec(0));
  ASSERT_EQ(through.size(), beside.size());
  // int8 rows err by 0.4 % of a weight's norm (relative MSE 2e-5), through eight layers and back: a
  // walk to 2 %, and some more in the softmax.
  for (size_t i = 0; i < through.size(); ++i) EXPECT_LT(Distance(through[i], beside[i]), 0.05) << i;
}

TEST(DeadAdapters, ThoseThatChangedNothing) {
  v1::ExperimentSpec spec = Spec(0);
  for (const char* init : {"default", "pissa"}) {
    spec.mutable_lora()->set_init_lora_weights(init);
    const std::unique_ptr<Vit> vit = Make(spec, Weights());
    const at::Tensor a = Value(*vit, "blocks.1.mlp.fc1.lora_A.weight");
    const at::Tensor b = Value(*vit, "blocks.1.mlp.fc1.lora_B.weight");
    const at::Tensor a_start = a.clone(), b_start = b.clone();
    Train(*vit);
    EXPECT_THAT(vit->DeadAdapters(), ElementsAre());
    a.copy_(a_start);
    b.copy_(b_start);
    EXPECT_THAT(vit->DeadAdapters(), ElementsAre("blocks.1.mlp.fc1")) << init;
  }
}

TEST(AdapterStart, ChangeNormIsThatOfTheMatrices) {
  const AdapterPair now = {DrawNormal({3, 20}, 1, 1, 1), DrawNormal({30, 3}, 1, 1, 2)};
  const AdapterPair start = {DrawNormal({3, 20}, 1, 1, 3), DrawNormal({30, 3}, 1, 1, 4)};
  const auto product = [](const AdapterPair& pair) {
    return at::matmul(pair.b.to(at::kDouble), pair.a.to(at::kDouble));
  };
  // In float64 on both sides: a walk of some thousand roundings of 1e-16, in norms of about 100.
  const at::Tensor change = (product(now) - product(start)) * 1.5;
  EXPECT_NEAR(AdapterChangeNorm(now, start, 1.5), change.norm().item<double>(), 5e-13);
  EXPECT_NEAR(AdapterChangeNorm(now, {}, 2), 2 * product(now).norm().item<double>(), 5e-13);
}

}  // namespace
}  // namespace qsweep::engine
