// quantization.bits: auto: which layers get eight bits.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_BIT_CHOICE_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_BIT_CHOICE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/result.pb.h"

namespace qsweep::engine {

// Layers whose type is given: their weights, and the bits of all of them.
struct GivenLayers {
  double weights = 0, bits = 0;
};

// `four_bit`: every layer there is a choice for, measured in its 4-bit type; `eight_bits`: what a
// weight of each would take in int8, scales included. All begin with four; then int8 goes to layers
// in the order of what it saves, divergence for each bit it costs, as long as the mean over all
// weights, the given ones too, stays within `budget` bits. (int8's own divergence, some hundred
// times less, is taken as none.) Returns overrides, LAYER=int8. InvalidArgument if 4 bits for all
// are beyond the budget.
absl::StatusOr<std::vector<std::string>> ChooseBits(
    const std::vector<v1::LayerMeasurement>& four_bit, const std::vector<double>& eight_bits,
    const GivenLayers& given, double budget);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_BIT_CHOICE_H_
