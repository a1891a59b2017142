#include "worker/engine/quant/quantized_weight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "common/file.h"
#include "common/quant/codes.h"
#include "common/testing/temporary_directory.h"
#include "worker/engine/base/random.h"

namespace qsweep::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;

v1::Quantization Spec(const std::string& kind, int blocksize = 64) {
  v1::Quantization spec;
  spec.set_bits(kind == "int8" ? 8 : 4);
  spec.set_quant_type(kind.substr(0, 3) == "fp4" ? "fp4" : "nf4");
  spec.set_double_quant(kind.size() == 5);  // nf4dq
  spec.set_blocksize(blocksize);
  return spec;
}

at::Tensor Gaussian(int64_t rows, int64_t columns, double std = 0.02) {
  at::Tensor weight = at::empty({rows, columns});
  RandomStream random(MakeKey(3, Purpose::kBenchmark), 0, 0);
  for (int64_t i = 0; i < weight.numel(); ++i) {
    weight.data_ptr<float>()[i] = static_cast<float>(std) * random.NextNormal();
  }
  return weight;
}

json Golden() {
  const auto text = ReadFile(QSWEEP_SOURCE_DIR "/tests/golden/quantization.json", 16 << 20);
  return text.ok() ? json::parse(*text) : json();
}

template <typename T>
std::vector<T> Elements(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  const T* const data = static_cast<const T*>(flat.data_ptr());
  return std::vector<T>(data, data + flat.numel());
}

// Against tests/golden/quantization.py: every code, scale and value, bit for bit.
TEST(QuantizedWeight, EqualsTheIndependentImplementation) {
  const json golden = Golden();
  ASSERT_TRUE(golden.is_object()) << "tests/golden/quantization.json cannot be read";
  int compared = 0;
  for (const json& entry : golden["cases"]) {
    const std::vector<int64_t> shape = entry["shape"];
    const std::vector<float> steps = entry["weight_times_65536"];
    const at::Tensor weight = at::tensor(steps).reshape(shape) / 65536;
    for (const std::string kind : {"nf4", "fp4", "nf4dq", "int8"}) {
      if (!entry.contains(kind)) continue;
      SCOPED_TRACE(kind + " " + entry["shape"].dump());
      const json& expected = entry[kind];
      const auto quantized = QuantizedWeight::Quantize(weight, Spec(kind, entry["blocksize"]));
      ASSERT_TRUE(quantized.ok()) << quantized.status();
      TensorFile file;
      quantized->Save("w.weight", &file);
      const std::string scales = kind == "int8" ? "w.SCB" : "w.weight.absmax";
      if (kind == "int8") {
        EXPECT_EQ(Elements<int8_t>(file.tensors["w.weight"]),
                  expected["payload"].get<std::vector<int8_t>>());
      } else {
        EXPECT_EQ(Elements<uint8_t>(file.tensors["w.weight"]),
                  expected["payload"].get<std::vector<uint8_t>>());
      }
      if (kind == "nf4dq") {
        EXPECT_EQ(Elements<uint8_t>(file.tensors[scales]),
                  expected["absmax"].get<std::vector<uint8_t>>());
        EXPECT_EQ(Elements<float>(file.tensors["w.weight.nested_absmax"]),
                  expected["nested_absmax"].get<std::vector<float>>());
      } else {
        EXPECT_EQ(Elements<float>(file.tensors[scales]),
                  expected["absmax"].get<std::vector<float>>());
      }
      EXPECT_EQ(Elements<uint32_t>(quantized->Dequantize(at::kFloat)),
                expected["dequantized_bits"].get<std::vector<uint32_t>>());
      ++compared;
    }
  }
  EXPECT_EQ(compared, 17);
}

TEST(QuantizedWeight, DynamicMapEqualsTheIndependentConstruction) {
  const std::array<float, 256>& map = DynamicMap();
  EXPECT_EQ(Elements<uint32_t>(at::tensor(at::ArrayRef<float>(map.data(), map.size()))),
            Golden()["dynamic_map_bits"].get<std::vector<uint32_t>>());
}

// Measured on Gaussian weights at block 64 with bitsandbytes' values. The mean of a million squared
// errors is known to about 0.3 %; 2 % leaves room for the figures' own two or three digits.
TEST(QuantizedWeight, RelativeErrorOnGaussianWeights) {
  const at::Tensor weight = Gaussian(1024, 1024);
  const auto error_of = [](const std::string& kind, const at::Tensor& weight) {
    return QuantizedWeight::Quantize(weight, Spec(kind))->Error(weight, "layer").relative_mse();
  };
  const auto error = [&](const std::string& kind) { return error_of(kind, weight); };
  EXPECT_NEAR(error("nf4"), 0.0084, 0.02 * 0.0084);
  EXPECT_NEAR(error("fp4"), 0.0148, 0.02 * 0.0148);
  // Scales of 8 bits are off by 0.2 %, which is 4e-6 of a mean square.
  EXPECT_NEAR(error("nf4dq") - error("nf4"), 4e-6, 2e-6);
  // Rows of 192, as DeiT-tiny's: a longer row has a larger absmax, so a larger error.
  EXPECT_NEAR(error_of("int8", weight.flatten().slice(0, 0, 5461 * 192).reshape({5461, 192})),
              4.6e-5, 0.02 * 4.6e-5);
}

TEST(QuantizedWeight, ErrorIsMeasured) {
  const at::Tensor weight = at::tensor({1.0f, 0.5f, -1.0f, 0.0f}).reshape({2, 2});
  const auto error =
      QuantizedWeight::Quantize(weight, Spec("nf4"))->Error(weight, "blocks.0.mlp.fc1");
  const double off = 0.5 - 0.44070982933044434;  // the nearest code to 0.5
  EXPECT_EQ(error.layer(), "blocks.0.mlp.fc1");
  EXPECT_DOUBLE_EQ(error.mse(), off * off / 4);
  EXPECT_DOUBLE_EQ(error.relative_mse(), off * off / 2.25);
  EXPECT_DOUBLE_EQ(error.sqnr_db(), 10 * std::log10(2.25 / (off * off)));
  EXPECT_DOUBLE_EQ(error.max_abs_error(), off);
}

TEST(QuantizedWeight, BitsPerWeight) {
  const at::Tensor weight = Gaussian(512, 512);  // 4096 blocks: 16 whole groups
  EXPECT_DOUBLE_EQ(QuantizedWeight::Quantize(weight, Spec("nf4"))->bits_per_weight(), 4.5);
  // arXiv 2305.14314, section 3: 4 + 8/64 + 32/(64 * 256); and the offset, 32 bits a matrix.
  EXPECT_DOUBLE_EQ(QuantizedWeight::Quantize(weight, Spec("nf4dq"))->bits_per_weight(),
                   4 + 8.0 / 64 + 32.0 / (64 * 256) + 32.0 / (512 * 512));
  EXPECT_DOUBLE_EQ(QuantizedWeight::Quantize(weight, Spec("int8"))->bits_per_weight(),
                   8 + 32.0 / 512);
}

TEST(QuantizedWeight, TakesAnyFloatTypeAndStrides) {
  const at::Tensor weight = Gaussian(30, 50).to(at::kBFloat16);
  const auto a = QuantizedWeight::Quantize(weight, Spec("nf4"));
  const auto b =
      QuantizedWeight::Quantize(weight.t().contiguous().t().to(at::kDouble), Spec("nf4"));
  EXPECT_TRUE(a->Dequantize(at::kFloat).equal(b->Dequantize(at::kFloat)));
  EXPECT_TRUE(a->Dequantize(at::kHalf).equal(a->Dequantize(at::kFloat).to(at::kHalf)));
  EXPECT_TRUE(a->Dequantize(at::kBFloat16).equal(a->Dequantize(at::kFloat).to(at::kBFloat16)));
}

// A tensor's shape is kept, and no part of what decides the codes: those of the flat order are.
TEST(QuantizedWeight, TakesAnyShape) {
  const at::Tensor flat = Gaussian(1, 5 * 3 * 7 * 11).flatten();  // odd, and no multiple of 64
  const at::Tensor expected =
      QuantizedWeight::Quantize(flat, Spec("nf4dq"))->Dequantize(at::kFloat);
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{1155}, {5, 231}, {5, 3, 7, 11}, {1155, 1, 1}, {1, 1155}}) {
    const auto quantized = QuantizedWeight::Quantize(flat.view(shape), Spec("nf4dq"));
    const at::Tensor back = quantized->Dequantize(at::kFloat);
    EXPECT_EQ(back.sizes(), at::IntArrayRef(shape));
    EXPECT_TRUE(back.flatten().equal(expected));
    TensorFile file;
    quantized->Save("w.weight", &file);
    EXPECT_TRUE(QuantizedWeight::Load(file, "w.weight")->Dequantize(at::kFloat).equal(back));
  }
}

TEST(QuantizedWeight, ThreadsDoNotChangeIt) {
  const at::Tensor weight = Gaussian(301, 1003);
  for (const std::string kind : {"nf4dq", "int8"}) {
    at::set_num_threads(1);
    const at::Tensor one =
        QuantizedWeight::Quantize(weight, Spec(kind, 128))->Dequantize(at::kBFloat16);
    at::set_num_threads(3);
    const at::Tensor three =
        QuantizedWeight::Quantize(weight, Spec(kind, 128))->Dequantize(at::kBFloat16);
    EXPECT_TRUE(one.equal(three)) << kind;
  }
  at::set_num_threads(1);
}

TEST(QuantizedWeight, TinyNumbersBecomeZero) {
  const at::Tensor weight = at::full({2, 64}, 1e-42);
  for (const std::string kind : {"nf4", "fp4", "nf4dq", "int8"}) {
    const at::Tensor back = QuantizedWeight::Quantize(weight, Spec(kind))->Dequantize(at::kFloat);
    EXPECT_LE(back.abs().max().item<float>(), 1e-36f) << kind;
  }
}

TEST(QuantizedWeight, RefusesWhatItCannotHold) {
  at::Tensor weight = Gaussian(4, 64);
  EXPECT_FALSE(QuantizedWeight::Quantize(weight.flatten(), Spec("int8")).ok());
  EXPECT_FALSE(QuantizedWeight::Quantize(weight.to(at::kInt), Spec("nf4")).ok());
  EXPECT_FALSE(QuantizedWeight::Quantize(at::empty({0, 4}), Spec("nf4")).ok());
  EXPECT_FALSE(QuantizedWeight::Quantize(weight, Spec("nf4", 48)).ok());
  for (float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    weight[2][3] = bad;
    const auto refused = QuantizedWeight::Quantize(weight, Spec("int8"));
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("not finite"));
  }
}

class FileTest : public testing::TestWithParam<std::string> {};

TEST_P(FileTest, RoundTripThroughAFile) {
  const at::Tensor weight = Gaussian(65, 131);
  const auto quantized = QuantizedWeight::Quantize(weight, Spec(GetParam(), 128));
  TensorFile file;
  quantized->Save("blocks.0.mlp.fc1.weight", &file);
  const TemporaryDirectory directory;
  const std::string path = directory.Path("model.safetensors");
  ASSERT_TRUE(WriteTensorFile(path, file).ok());
  const auto read = ReadTensorFile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  const auto loaded = QuantizedWeight::Load(*read, "blocks.0.mlp.fc1.weight");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->Dequantize(at::kFloat).equal(quantized->Dequantize(at::kFloat)));
  EXPECT_EQ(loaded->scale_bytes(), quantized->scale_bytes());
  EXPECT_EQ(loaded->payload_bytes(), quantized->payload_bytes());
}

// Each tensor left out, cut by one element, of another type or (numbers) not finite: an error that
// names it.
TEST_P(FileTest, DamageIsNamed) {
  TensorFile good;
  QuantizedWeight::Quantize(Gaussian(64, 300), Spec(GetParam()))->Save("w.weight", &good);
  ASSERT_TRUE(QuantizedWeight::Load(good, "w.weight").ok());
  for (const auto& [name, tensor] : good.tensors) {
    SCOPED_TRACE(name);
    std::vector<at::Tensor> damaged;
    damaged.push_back(tensor.to(at::kShort));
    if (tensor.numel() > 1) damaged.push_back(tensor.flatten().slice(0, 1));
    if (tensor.is_floating_point()) damaged.push_back(at::full_like(tensor, NAN));
    for (const at::Tensor& bad : damaged) {
      TensorFile file = good;
      file.tensors[name] = bad;
      EXPECT_FALSE(QuantizedWeight::Load(file, "w.weight").ok()) << bad.scalar_type();
    }
    TensorFile file = good;
    file.tensors.erase(name);
    const auto status = QuantizedWeight::Load(file, "w.weight").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, FileTest, testing::Values("nf4", "fp4", "nf4dq", "int8"));

TEST(QuantizedWeightFile, HasTheKeysOfBitsandbytes) {
  TensorFile file;
  QuantizedWeight::Quantize(Gaussian(64, 64), Spec("nf4dq"))->Save("x.weight", &file);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.tensors) names.push_back(name);
  EXPECT_THAT(names, testing::ElementsAre("x.weight", "x.weight.absmax", "x.weight.nested_absmax",
                                          "x.weight.nested_quant_map", "x.weight.quant_map",
                                          "x.weight.quant_state.bitsandbytes__nf4"));
  const std::vector<uint8_t> text =
      Elements<uint8_t>(file.tensors["x.weight.quant_state.bitsandbytes__nf4"]);
  const json state = json::parse(text.begin(), text.end());
  EXPECT_EQ(state["quant_type"], "nf4");
  EXPECT_EQ(state["blocksize"], 64);
  EXPECT_EQ(state["dtype"], "float32");
  EXPECT_EQ(state["shape"], json({64, 64}));
  EXPECT_EQ(state["nested_blocksize"], 256);
  EXPECT_EQ(state["nested_dtype"], "float32");
  EXPECT_TRUE(state["nested_offset"].is_number());
}

TEST(QuantizedWeightFile, BadStatesAreRefused) {
  TensorFile good;
  QuantizedWeight::Quantize(Gaussian(64, 64), Spec("nf4dq"))->Save("w.weight", &good);
  const std::string key = "w.weight.quant_state.bitsandbytes__nf4";
  const std::vector<uint8_t> text = Elements<uint8_t>(good.tensors[key]);
  const auto load_with = [&](const std::string& field, const json& value) {
    json state = json::parse(text.begin(), text.end());
    state[field] = value;
    std::string changed = state.dump();
    TensorFile file = good;
    file.tensors[key] =
        at::from_blob(changed.data(), {static_cast<int64_t>(changed.size())}, at::kByte).clone();
    return QuantizedWeight::Load(file, "w.weight").status();
  };
  EXPECT_TRUE(
      load_with("dtype", "bfloat16").ok());  // of the layer it was made from: says nothing here
  for (const auto& [field, value] :
       std::vector<std::pair<std::string, json>>{{"quant_type", "fp4"},
                                                 {"quant_type", 4},
                                                 {"blocksize", 0},
                                                 {"blocksize", 33},
                                                 {"blocksize", 1 << 20},
                                                 {"blocksize", "64"},

                                                 {"shape", {64, -64}},
                                                 {"shape", {1 << 20, 1 << 20}},
                                                 {"shape", "64x64"},
                                                 {"nested_blocksize", 128},
                                                 {"nested_dtype", "float16"},
                                                 {"nested_offset", "x"}}) {
    EXPECT_EQ(load_with(field, value).code(), absl::StatusCode::kDataLoss) << field << " " << value;
  }
  TensorFile file = good;
  file.tensors["w.weight.quant_map"] = file.tensors["w.weight.quant_map"] * 1.01;
  EXPECT_THAT(std::string(QuantizedWeight::Load(file, "w.weight").status().message()),
              HasSubstr("code table"));
}

}  // namespace
}  // namespace qsweep::engine
