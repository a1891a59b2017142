#include "worker/engine/train/bit_choice.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"

namespace qsweep::engine {

absl::StatusOr<std::vector<std::string>> ChooseBits(
    const std::vector<v1::LayerMeasurement>& four_bit, const std::vector<double>& eight_bits,
    const GivenLayers& given, double budget) {
  QSWEEP_CHECK(four_bit.size() == eight_bits.size());
  double bits = given.bits, weights = given.weights;
  for (const v1::LayerMeasurement& layer : four_bit) {
    bits += layer.bits_per_weight() * static_cast<double>(layer.weights());
    weights += static_cast<double>(layer.weights());
  }
  if (bits > budget * weights) {
    return absl::InvalidArgumentError(
        absl::StrFormat("quantization.bits_budget: %.4g; 4 bits for every layer that "
                        "quantization.overrides leaves take %.4g already, scales included",
                        budget, bits / weights));
  }
  const auto cost = [&](size_t i) {
    return (eight_bits[i] - four_bit[i].bits_per_weight()) *
           static_cast<double>(four_bit[i].weights());
  };
  std::vector<size_t> order(four_bit.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return four_bit[a].divergence() / cost(a) > four_bit[b].divergence() / cost(b);
  });
  std::vector<std::string> overrides;
  for (const size_t i : order) {
    if (bits + cost(i) > budget * weights) continue;
    bits += cost(i);
    overrides.push_back(absl::StrCat(four_bit[i].layer(), "=int8"));
  }
  std::sort(overrides.begin(), overrides.end());
  return overrides;
}

}  // namespace qsweep::engine
