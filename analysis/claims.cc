#include "analysis/claims.h"

#include "analysis/run_facts.h"

namespace qsweep {

double ExpectedBitsPerWeight(const v1::Quantization& quantization) {
  if (quantization.bits() < 0) return quantization.bits_budget();
  if (quantization.bits() != 4) return quantization.bits();
  const double block = quantization.blocksize() > 0 ? quantization.blocksize() : 64;
  return quantization.double_quant() ? 4 + 8 / block + 32 / (block * 256) : 4 + 32 / block;
}

std::optional<Interval> ExpectedReduction(const v1::Quantization& quantization) {
  if (!IsOneKind(quantization)) return std::nullopt;
  if (quantization.bits() == 8) return Interval{0.4, 0.6};
  return Interval{0.6, quantization.double_quant() ? 0.85 : 0.8};
}

double ExpectedLoss(const v1::Quantization& quantization) {
  return quantization.bits() == 8 && IsOneKind(quantization) ? kEightBitLoss : kFourBitLoss;
}

double ExpectedVariation(const v1::Quantization& quantization) {
  return quantization.bits() == 8 ? 0.10 : 0.25;
}

}  // namespace qsweep
