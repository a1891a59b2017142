#include "worker/engine/train/bit_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qsweep::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

v1::LayerMeasurement Layer(const std::string& name, int64_t weights, double divergence) {
  v1::LayerMeasurement layer;
  layer.set_layer(name);
  layer.set_weights(weights);
  layer.set_bits_per_weight(4.5);
  layer.set_divergence(divergence);
  return layer;
}

TEST(ChooseBits, TheMostSensitiveForTheirSizeComeFirst) {
  // By weight: c saves most, then a; b is large and saves little.
  const std::vector<v1::LayerMeasurement> layers = {Layer("a", 100, 1.0), Layer("b", 200, 1.2),
                                                    Layer("c", 100, 3.0)};
  const std::vector<double> eight(3, 8.5);
  EXPECT_THAT(*ChooseBits(layers, eight, {}, 4.5), IsEmpty());
  EXPECT_THAT(*ChooseBits(layers, eight, {}, 5.5), ElementsAre("c=int8"));
  EXPECT_THAT(*ChooseBits(layers, eight, {}, 6.5), ElementsAre("a=int8", "c=int8"));
  EXPECT_THAT(*ChooseBits(layers, eight, {}, 8.5), ElementsAre("a=int8", "b=int8", "c=int8"));
}

TEST(ChooseBits, ALayerTooLargeForWhatIsLeftIsPassedOver) {
  const std::vector<v1::LayerMeasurement> layers = {Layer("a", 100, 1.0), Layer("b", 300, 9.0)};
  EXPECT_THAT(*ChooseBits(layers, {8.5, 8.5}, {}, 5.5), ElementsAre("a=int8"));
}

TEST(ChooseBits, GivenLayersSpendOfTheBudgetToo) {
  const std::vector<v1::LayerMeasurement> layers = {Layer("a", 100, 1.0), Layer("b", 100, 2.0)};
  // 200 weights of 4.5 bits and 200 of 8.5 have 6.5 in the mean; one layer more in int8 has 7.5.
  EXPECT_THAT(*ChooseBits(layers, {8.5, 8.5}, {200, 200 * 8.5}, 6.5), IsEmpty());
  EXPECT_THAT(*ChooseBits(layers, {8.5, 8.5}, {200, 200 * 8.5}, 7.5), ElementsAre("b=int8"));
  EXPECT_FALSE(ChooseBits(layers, {8.5, 8.5}, {200, 200 * 8.5}, 6.4).ok());
}

TEST(ChooseBits, ABudgetBelowFourBitsIsSaid) {
  const auto chosen = ChooseBits({Layer("a", 100, 1)}, {8.5}, {}, 4.2);
  EXPECT_EQ(chosen.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(chosen.status().message()), testing::HasSubstr("4.5 already"));
}

}  // namespace
}  // namespace qsweep::engine
