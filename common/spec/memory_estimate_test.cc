#include "common/spec/memory_estimate.h"

#include <gtest/gtest.h>

#include "common/spec/kind.h"
#include "common/spec/spec.h"

namespace qsweep {
namespace {

v1::ExperimentSpec Spec(const std::string& json_tail = "") {
  auto spec =
      ParseSpecJson(R"({"model":{"name":"deit_tiny_patch16_224"},"dataset":{"name":"cifar10"})" +
                    json_tail + "}");
  EXPECT_TRUE(spec.ok()) << spec.status();
  return *spec;
}

int64_t Peak(const std::string& json_tail, int64_t micro_batch = 1) {
  return EstimatePeakBytes(Spec(json_tail), micro_batch);
}

// The linears of DeiT-tiny's blocks are 12 * 12 * 192^2 = 5,308,416 weights in 12 * 9 * 192 rows of
// int8, 12 * 3 * 192 of which are qkv's, with a quarter of the weights. int8 saves 1 byte of a
// bf16's 2, less 4 a row; 4 bits save 1.5 less 4 a block of 64, or less 1 a block and 4 every 256
// blocks. Rounding up to whole blocks costs 8 bytes a module.
TEST(EstimatePeakBytes, QuantizationSavesWhatItsFormatSays) {
  constexpr double kWeights = 5'308'416, kRows = 12 * 9 * 192, kRounding = 48 * 8;
  const auto saved = [](const std::string& quantization) {
    return static_cast<double>(Peak("") - Peak(R"(,"quantization":)" + quantization));
  };
  EXPECT_EQ(saved(R"({"bits":8})"), kWeights - 4 * kRows);
  EXPECT_EQ(saved(R"({"bits":8,"skip_modules":["qkv"]})"), kWeights * 3 / 4 - 4 * kRows * 6 / 9);
  EXPECT_NEAR(saved(R"({"bits":4})"), kWeights * (1.5 - 4.0 / 64), kRounding);
  EXPECT_NEAR(saved(R"({"bits":4,"double_quant":true})"),
              kWeights * (1.5 - 1.0 / 64 - 4.0 / 64 / 256), kRounding);
  EXPECT_NEAR(saved(R"({"bits":-1,"bits_budget":6})"), kWeights * (2 - 6.0 / 8), kRounding);
}

// The frozen linears and three batches of 32 images of 224 x 224 x 3, at 2 bytes more an element;
// the rest is an image's activations.
TEST(EstimatePeakBytes, FullPrecisionTakesTwice) {
  constexpr int64_t kInputs = 5'308'416 + 3 * 32 * 224 * 224 * 3;
  const int64_t more = Peak(R"(,"training":{"use_mixed_precision":false})") - Peak("");
  EXPECT_GT(more, 2 * kInputs);
  EXPECT_LT(more, 2 * kInputs + (8 << 20));
  EXPECT_EQ(Peak(R"(,"quantization":{"compute_dtype":"float32"})") - Peak(""), more);
}

// 5 fp32 a trainable element: value, gradient, two moments, best so far.
TEST(EstimatePeakBytes, AdaptersCountFiveTimes) {
  EXPECT_EQ(Peak(R"(,"lora":{"rank":9})") - Peak(R"(,"lora":{"rank":8})"),
            12 * (3 * 192 + 192) * 5 * 4);
}

// What is adapted, qkv, is held in fp32 and in bf16, in place of int8 and a scale a row.
TEST(EstimatePeakBytes, TrainingForQuantizationHoldsTheWeightsTwice) {
  const std::string int8 = R"(,"quantization":{"bits":8},"lora":{"dropout":0})";
  EXPECT_EQ(Peak(int8 + R"(,"training":{"quantization_aware":true})") - Peak(int8),
            12 * 3 * 192 * 192 * (4 + 2 - 1) - 12 * 3 * 192 * 4);
}

TEST(EstimatePeakBytes, OrdersTheModes) {
  const auto at32 = [](const std::string& mode) {
    return Peak(R"(,"training":{"gradient_checkpointing":")" + mode + R"("})", 32);
  };
  EXPECT_GT(at32("none"), at32("selective"));
  EXPECT_GT(at32("selective"), at32("full"));
  EXPECT_EQ(at32("full"), at32("auto"));
  EXPECT_GT(at32("full"), Peak("", 1));
  EXPECT_GT(Peak(R"(,"training":{"method":"full"})"), Peak(""));
  EXPECT_GT(Peak(""), Peak(R"(,"training":{"method":"linear_probe"})"));
}

// A base of 86 M weights that shrinks to 4 bits has to be read in fp32 first.
TEST(EstimatePeakBytes, LoadingMayNeedMoreThanTraining) {
  v1::ExperimentSpec spec = Spec(R"(,"quantization":{"bits":4})");
  spec.mutable_model()->set_name("deit_base_patch16_224");
  EXPECT_EQ(EstimatePeakBytes(spec, 1), EstimatePeakBytes(spec, 2));
  EXPECT_LT(EstimatePeakBytes(spec, 1), EstimatePeakBytes(spec, 64));
}

// Two of the ten classes, in memory and in time.
TEST(ImagesOf, AreThoseOfTheClassesChosen) {
  v1::ExperimentSpec spec = Spec(R"(,"training":{"num_epochs":3})");
  const int64_t all = EstimatePeakBytes(spec, 1);
  EXPECT_EQ(ImagesToTrain(spec), 3 * 50'000);
  spec.mutable_dataset()->add_classes(7);
  spec.mutable_dataset()->add_classes(3);
  EXPECT_EQ(ImagesToTrain(spec), 3 * 10'000);
  EXPECT_NEAR(all - EstimatePeakBytes(spec, 1), 3 * 32 * 32 * (40'000 + 8'000), 1 << 20);
  spec.mutable_dataset()->set_train_limit(12'000);
  EXPECT_EQ(ImagesToTrain(spec), 3 * 10'000);
  spec.mutable_dataset()->set_train_limit(100);
  EXPECT_EQ(ImagesToTrain(spec), 3 * 100);
}

}  // namespace
}  // namespace qsweep
