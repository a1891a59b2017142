// What the study claims of quantization in advance: what results are held against.
#ifndef QSWEEP_ANALYSIS_CLAIMS_H_
#define QSWEEP_ANALYSIS_CLAIMS_H_

#include <optional>

#include "analysis/statistics.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

// Of a quantized base without overrides, bits a weight with scales (arXiv 2305.14314, section 3;
// the one fp32 scale of an int8 row is too small to count here).
double ExpectedBitsPerWeight(const v1::Quantization& quantization);

// Of memory: int8 takes 0.40 to 0.60 less, 4 bits 0.60 to 0.80, with double quantization up to
// 0.85. None for an unquantized base or a mixture.
std::optional<Interval> ExpectedReduction(const v1::Quantization& quantization);

// Best top-1: 8 bits lose less than the one, 4 bits from that to the other.
inline constexpr double kEightBitLoss = 0.02, kFourBitLoss = 0.05;
// The most that is lost; of a mixture as of 4 bits.
double ExpectedLoss(const v1::Quantization& quantization);

// By how much sd / mean of the gradient norm differs from the unquantized twin's: "minimal" at 8
// bits, "moderate" at 4. The two limits are ours.
double ExpectedVariation(const v1::Quantization& quantization);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_CLAIMS_H_
