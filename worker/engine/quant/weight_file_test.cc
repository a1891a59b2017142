#include "worker/engine/quant/weight_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/base/random.h"
#include "worker/engine/quant/quantized_weight.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

at::Tensor Numbers(at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape);
  RandomStream random(MakeKey(9, Purpose::kBenchmark), 0, 0);
  for (int64_t i = 0; i < values.numel(); ++i) values.data_ptr<float>()[i] = random.NextNormal();
  return values;
}

v1::Quantization Spec(int bits, bool double_quant = false, int blocksize = 64) {
  v1::Quantization spec;
  spec.set_bits(bits);
  spec.set_quant_type("nf4");
  spec.set_double_quant(double_quant);
  spec.set_blocksize(blocksize);
  spec.add_skip_modules("head");
  return spec;
}

TensorFile Model() {
  TensorFile file;
  file.metadata["format"] = "pt";
  file.tensors["blocks.0.mlp.fc1.weight"] = Numbers({7, 33});
  file.tensors["blocks.0.mlp.fc1.bias"] = Numbers({7});
  file.tensors["patch_embed.proj.weight"] = Numbers({5, 3, 4, 4}).to(at::kBFloat16);
  file.tensors["head.weight"] = Numbers({10, 7});
  file.tensors["norm.weight"] = Numbers({7});
  return file;
}

TEST(WeightFile, ThereAndBack) {
  const TensorFile model = Model();
  for (const bool double_quant : {false, true}) {
    for (const int blocksize : {32, 64, 4096}) {
      v1::QuantizationFacts facts;
      const v1::Quantization spec = Spec(4, double_quant, blocksize);
      const auto quantized = QuantizeFile(model, spec, &facts);
      ASSERT_TRUE(quantized.ok()) << quantized.status();
      EXPECT_EQ(facts.layers_quantized(), 2);
      EXPECT_EQ(facts.weights_quantized(), 7 * 33 + 5 * 48);
      EXPECT_THAT(QuantizedNames(*quantized),
                  testing::ElementsAre("blocks.0.mlp.fc1.weight", "patch_embed.proj.weight"));
      const auto back = DequantizeFile(*quantized, at::kFloat);
      ASSERT_TRUE(back.ok()) << back.status();
      ASSERT_EQ(back->tensors.size(), model.tensors.size());
      EXPECT_EQ(back->metadata.at("format"), "pt");
      for (const auto& [name, tensor] : model.tensors) {
        ASSERT_EQ(back->tensors.count(name), 1u) << name;
        const at::Tensor& got = back->tensors.at(name);
        ASSERT_EQ(got.sizes(), tensor.sizes()) << name;
        if (name.find("fc1.weight") != std::string::npos) {
          EXPECT_TRUE(got.equal(QuantizedWeight::Quantize(tensor, spec)->Dequantize(at::kFloat)));
        } else if (name.find("patch_embed") == std::string::npos) {
          EXPECT_TRUE(got.equal(tensor)) << name;
        }
      }
    }
  }
}

TEST(WeightFile, EightBitsAreForMatrices) {
  v1::QuantizationFacts facts;
  const auto quantized = QuantizeFile(Model(), Spec(8), &facts);
  ASSERT_TRUE(quantized.ok()) << quantized.status();
  EXPECT_THAT(QuantizedNames(*quantized), testing::ElementsAre("blocks.0.mlp.fc1.weight"));
  EXPECT_EQ(quantized->tensors.at("patch_embed.proj.weight").scalar_type(), at::kBFloat16);
}

TEST(WeightFile, SaysWhatIsWrong) {
  v1::QuantizationFacts facts;
  v1::Quantization spec = Spec(4);
  spec.add_skip_modules("haed");
  EXPECT_THAT(CheckSkips(Model(), spec).message(), HasSubstr("\"haed\""));
  TensorFile twice = *QuantizeFile(Model(), Spec(4), &facts);
  EXPECT_THAT(QuantizeFile(twice, Spec(4), &facts).status().message(), HasSubstr("already"));
  twice.tensors.erase("blocks.0.mlp.fc1.weight.absmax");
  EXPECT_THAT(DequantizeFile(twice, at::kFloat).status().message(),
              HasSubstr("blocks.0.mlp.fc1.weight.absmax: missing"));
  TensorFile nothing;
  nothing.tensors["head.weight"] = Numbers({2, 2});
  EXPECT_FALSE(QuantizeFile(nothing, Spec(4), &facts).ok());
}

}  // namespace
}  // namespace qsweep::engine
