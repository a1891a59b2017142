#include "worker/engine/model/peft_adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/testing/temporary_directory.h"

namespace qsweep::engine {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

const std::string kGolden = QSWEEP_SOURCE_DIR "/tests/golden/peft";

TEST(PeftAdapter, MergesAsTheIndependentImplementation) {
  const auto adapter = ReadPeftAdapter(kGolden);
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  ASSERT_EQ(adapter->modules.size(), 4u);
  EXPECT_EQ(adapter->modules.at("blocks.0.attn.qkv").rank(), 4);
  EXPECT_EQ(adapter->modules.at("blocks.1.attn.qkv").rank(), 2);
  EXPECT_EQ(adapter->modules.at("blocks.1.mlp.fc2").alpha, 12);
  auto weights = ReadTensorFile(kGolden + "/base.safetensors");
  ASSERT_TRUE(weights.ok()) << weights.status();
  const absl::Status merged = MergeAdapter(*adapter, &*weights);
  ASSERT_TRUE(merged.ok()) << merged;
  const auto expected = ReadTensorFile(kGolden + "/merged.safetensors");
  ASSERT_EQ(weights->tensors.size(), expected->tensors.size());
  for (const auto& [name, tensor] : expected->tensors) {
    // Both add in double and round once; another order of the sum may move that rounding by a bit.
    EXPECT_TRUE(weights->tensors.at(name).allclose(tensor, /*rtol=*/0x1p-23, /*atol=*/0)) << name;
  }
}

class BadAdapter : public testing::Test {
 protected:
  BadAdapter() {
    config_ = ordered_json::parse(*ReadFile(kGolden + "/adapter_config.json", 1 << 20));
    file_ = *ReadTensorFile(kGolden + "/adapter_model.safetensors");
  }

  absl::Status Read() {
    EXPECT_TRUE(WriteFileAtomic(directory_.Path(kAdapterConfigFile), config_.dump()).ok());
    EXPECT_TRUE(WriteTensorFile(directory_.Path(kAdapterFile), file_).ok());
    return ReadPeftAdapter(directory_.path()).status();
  }
  // The error of a config in which `key` has `value`.
  std::string ErrorWith(const std::string& key, const ordered_json& value) {
    const ordered_json good = config_;
    config_[key] = value;
    const absl::Status status = Read();
    config_ = good;
    EXPECT_FALSE(status.ok()) << key << " " << value;
    return std::string(status.message());
  }

  const TemporaryDirectory directory_;
  ordered_json config_;
  TensorFile file_;
};

TEST_F(BadAdapter, OtherKindsAreNamed) {
  ASSERT_TRUE(Read().ok());
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, ordered_json>>{{"peft_type", "IA3"},
                                                         {"use_dora", true},
                                                         {"bias", "all"},
                                                         {"lora_bias", true},
                                                         {"fan_in_fan_out", true},
                                                         {"init_lora_weights", "pissa_niter_16"},
                                                         {"init_lora_weights", "loftq"},
                                                         {"r", 0},
                                                         {"r", "4"},
                                                         {"r", 5},
                                                         {"lora_alpha", nullptr},
                                                         {"rank_pattern", {{"(", 4}}},
                                                         {"rank_pattern", {{"qkv", 0}}},
                                                         {"rank_pattern", {{"qkv", 2.5}}},
                                                         {"alpha_pattern", {{"qkv", "x"}}}}) {
    const std::string error = ErrorWith(key, value);
    EXPECT_THAT(error, testing::AnyOf(HasSubstr(key), HasSubstr("rank"), HasSubstr("needs")));
    EXPECT_THAT(error, HasSubstr(directory_.path()));
  }
}

TEST_F(BadAdapter, DamagedTensorsAreNamed) {
  const TensorFile good = file_;
  const std::string a = "base_model.model.blocks.0.attn.qkv.lora_A.weight";
  file_.tensors[a] = good.tensors.at(a) * NAN;
  EXPECT_THAT(Read().message(), HasSubstr(a));
  file_.tensors[a] = good.tensors.at(a).slice(0, 1);
  EXPECT_THAT(Read().message(), HasSubstr("blocks.0.attn.qkv"));
  file_.tensors[a] = good.tensors.at(a).unsqueeze(2);
  EXPECT_THAT(Read().message(), HasSubstr("adapters of convolutions are not supported"));
  file_.tensors.erase(a);
  EXPECT_THAT(Read().message(), HasSubstr("lacks lora_A or lora_B"));
  file_ = good;
  file_.tensors["model.x"] = good.tensors.at(a);
  EXPECT_THAT(Read().message(), HasSubstr("model.x"));
}

TEST_F(BadAdapter, WeightsOfAnotherModelAreRefused) {
  const PeftAdapter adapter = *ReadPeftAdapter(kGolden);
  TensorFile weights = *ReadTensorFile(kGolden + "/base.safetensors");
  weights.tensors["blocks.1.mlp.fc2.weight"] = at::zeros({8, 31});
  EXPECT_THAT(MergeAdapter(adapter, &weights).message(), HasSubstr("blocks.1.mlp.fc2"));
  weights.tensors.erase("blocks.1.mlp.fc2.weight");
  EXPECT_THAT(MergeAdapter(adapter, &weights).message(), HasSubstr("no such module"));
}

TEST_F(BadAdapter, MergedWeightsAreFp32OfTheirOwnShapes) {
  PeftAdapter adapter = *ReadPeftAdapter(kGolden);
  TensorFile weights = *ReadTensorFile(kGolden + "/base.safetensors");
  for (auto& [name, tensor] : weights.tensors) tensor = tensor.to(at::kBFloat16);
  ASSERT_TRUE(MergeAdapter(adapter, &weights).ok());
  for (const auto& [name, tensor] : weights.tensors) EXPECT_EQ(tensor.scalar_type(), at::kFloat);
  const at::Tensor other = at::zeros({3, 5});
  adapter.saved = {{weights.tensors.begin()->first, other}};
  EXPECT_THAT(MergeAdapter(adapter, &weights).message(), HasSubstr("in another shape"));
}

}  // namespace
}  // namespace qsweep::engine
