#include "common/quant/scheme.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/base/random.h"
#include "worker/engine/quant/quantized_weight.h"
#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

v1::Quantization Spec(const std::string& type) {
  v1::Quantization spec;
  spec.set_bits(4);
  spec.set_quant_type(type);
  spec.set_blocksize(64);
  return spec;
}

at::Tensor Normal(at::IntArrayRef shape, uint64_t seed) {
  at::Tensor values = at::empty(shape);
  RandomStream random(MakeKey(seed, Purpose::kBenchmark), 0, 0);
  for (int64_t i = 0; i < values.numel(); ++i) values.data_ptr<float>()[i] = random.NextNormal();
  return values;
}

at::Tensor Expanded(const at::Tensor& weight, const std::string& type,
                    const at::Tensor& importance = {}) {
  const auto quantized = QuantizedWeight::Quantize(weight, Spec(type), importance);
  EXPECT_TRUE(quantized.ok()) << quantized.status();
  return quantized->Dequantize(at::kFloat);
}

TEST(Scheme, RegisteredByTheirFilesAlone) {
  EXPECT_THAT(SchemeNames(), testing::IsSupersetOf({"fp4", "nf4", "nf4_ln"}));
  EXPECT_EQ(FindScheme("nf5"), nullptr);
}

TEST(Scheme, Nf4LnHasALowerErrorThanNf4OnEveryBlock) {
  const at::Tensor weight = Normal({96, 192}, 1);
  const auto block_errors = [&](const std::string& type) {
    return (Expanded(weight, type) - weight).square().reshape({-1, 64}).sum(1);
  };
  const at::Tensor searched = block_errors("nf4_ln"), largest = block_errors("nf4");
  // A sum of 64 fp32 squares in another order.
  EXPECT_TRUE((searched <= largest * (1 + Fp32Sums(64))).all().item<bool>());
  EXPECT_LT(searched.sum().item<float>(), 0.97f * largest.sum().item<float>());
}

// What it is for: inputs whose channels differ, as behind a LayerNorm. The error of the layer's
// output, measured on such inputs, is lower than nf4's and than that of a search that knows nothing
// of the channels.
TEST(Scheme, Nf4LnKnowsTheChannelsThatMatter) {
  const at::Tensor weight = Normal({96, 192}, 2);
  const at::Tensor gain = Normal({192}, 3).exp();  // e^N(0,1): factors of 40 between channels
  const at::Tensor inputs = Normal({512, 192}, 4) * gain;
  const at::Tensor exact = at::matmul(inputs, weight.t());
  const auto output_error = [&](const at::Tensor& expanded) {
    return (at::matmul(inputs, expanded.t()) - exact).square().mean().item<float>();
  };
  const float nf4 = output_error(Expanded(weight, "nf4"));
  const float plain = output_error(Expanded(weight, "nf4_ln"));
  const float aware = output_error(Expanded(weight, "nf4_ln", gain.square()));
  EXPECT_LT(aware, 0.85f * nf4);
  EXPECT_LT(aware, plain);
}

TEST(Scheme, Nf4LnIsReadAsNf4) {
  TensorFile file;
  QuantizedWeight::Quantize(Normal({8, 64}, 5), Spec("nf4_ln"))->Save("w.weight", &file);
  EXPECT_EQ(file.tensors.count("w.weight.quant_state.bitsandbytes__nf4"), 1u);
  EXPECT_EQ(QuantizedWeight::Load(file, "w.weight")->stored_as(), "nf4");
}

}  // namespace
}  // namespace qsweep::engine
