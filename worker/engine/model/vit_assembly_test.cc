// How a model is put together from a spec and weights, and what it writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "worker/engine/model/golden_vit.h"

namespace qsweep::engine {
namespace {

using ::testing::HasSubstr;

TEST(Vit, RefusesWeightsThatDoNotFitAndListsThem) {
  TensorFile weights = GoldenPart("base/");
  weights.tensors.erase("norm.bias");
  weights.tensors["blocks.1.mlp.fc1.weight"] = at::zeros({128, 31});
  weights.tensors["blocks.2.norm1.bias"] = at::zeros({32});
  weights.tensors["pos_embed"] = at::zeros({1, 18, 32});
  weights.tensors["cls_token"] = at::full({1, 1, 32}, NAN);
  const auto vit = TryMake(Spec("lora"), at::kFloat, weights);
  ASSERT_EQ(vit.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(vit.status().message());
  EXPECT_THAT(message, HasSubstr("norm.bias: missing, expected [32]"));
  EXPECT_THAT(message, HasSubstr("blocks.1.mlp.fc1.weight: [128, 31], expected [128, 32]"));
  EXPECT_THAT(message, HasSubstr("blocks.2.norm1.bias: unexpected"));
  EXPECT_THAT(message, HasSubstr("pos_embed: [1, 18, 32], expected [1, 17, 32]"));
  EXPECT_THAT(message, HasSubstr("cls_token: holds a value that is not finite"));
}

TEST(Vit, AHeadForOtherClassesIsDrawnAnew) {
  const TensorFile weights = GoldenPart("base/");
  const auto vit = Vit::Create(Spec("linear_probe"), kShape, {at::kFloat, 100}, &weights);
  ASSERT_TRUE(vit.ok()) << vit.status();
  const TensorFile product = (*vit)->Product();
  EXPECT_EQ(product.tensors.at("head.weight").sizes(), at::IntArrayRef({100, 32}));
  // 3200 numbers: three standard errors.
  EXPECT_NEAR(product.tensors.at("head.weight").std().item<double>(), 0.02, 3 * 0.02 / 80);
  EXPECT_EQ(product.tensors.at("head.bias").abs().max().item<double>(), 0);
}

TEST(Vit, PatternsThatMatchNothingAreErrors) {
  const auto message = [](const v1::ExperimentSpec& spec) {
    return std::string(TryMake(spec, at::kFloat, GoldenPart("base/")).status().message());
  };
  v1::ExperimentSpec spec = Spec("lora");
  spec.mutable_lora()->add_target_modules("query");
  EXPECT_THAT(message(spec), HasSubstr("lora.target_modules: \"query\" matches no module"));
  spec = Spec("lora");
  spec.mutable_quantization()->set_bits(4);
  spec.mutable_quantization()->add_skip_modules("blocks.9.mlp.fc1");
  EXPECT_THAT(message(spec), HasSubstr("quantization.skip_modules: \"blocks.9.mlp.fc1\""));
  spec = Spec("lora");
  spec.mutable_quantization()->set_bits(4);
  spec.mutable_quantization()->add_skip_modules("blocks.*.*.*");
  EXPECT_THAT(message(spec), HasSubstr("leaves no module to quantize"));
  spec = Spec("full");
  spec.mutable_quantization()->set_bits(8);
  EXPECT_THAT(message(spec), HasSubstr("trains every weight"));
}

TEST(Vit, ProductsCarryTheFieldsNames) {
  const TensorFile lora = Make(Spec("lora"))->Product();
  EXPECT_EQ(lora.tensors.size(), 18u);
  EXPECT_EQ(lora.tensors.at("base_model.model.blocks.0.attn.qkv.lora_A.weight").sizes(),
            at::IntArrayRef({4, 32}));
  EXPECT_EQ(lora.tensors.at("base_model.model.blocks.0.attn.qkv.lora_B.weight").sizes(),
            at::IntArrayRef({96, 4}));
  EXPECT_TRUE(lora.tensors.contains("base_model.model.head.bias"));
  // A full product is a weights file again.
  const TensorFile full = Make(Spec("full"))->Product();
  EXPECT_TRUE(full.tensors.at("patch_embed.proj.weight")
                  .equal(Golden().tensors.at("base/patch_embed.proj.weight")));
  EXPECT_TRUE(TryMake(Spec("lora"), at::kFloat, full).ok());
}

TEST(Vit, WritesAdapterConfigAsPeft) {
  const std::string json = Make(Spec("lora"))->PeftConfigJson("timm/deit");
  for (const char* part :
       {"\"peft_type\": \"LORA\"", "\"r\": 4", "\"lora_alpha\": 8,", "\"use_rslora\": false",
        "\"base_model_name_or_path\": \"timm/deit\"", "\"blocks.1.mlp.fc2\""}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
}

TEST(Vit, TheSameSeedGivesTheSameModel) {
  const auto weights = [](int64_t seed) {
    v1::ExperimentSpec spec = Spec("full");
    spec.set_seed(seed);
    return (*Vit::Create(spec, kShape, {at::kFloat, 5}, nullptr))->Product();
  };
  const TensorFile a = weights(1), b = weights(1), c = weights(2);
  for (const auto& [name, tensor] : a.tensors) EXPECT_TRUE(tensor.equal(b.tensors.at(name)));
  EXPECT_FALSE(a.tensors.at("pos_embed").equal(c.tensors.at("pos_embed")));
}

}  // namespace
}  // namespace qsweep::engine
