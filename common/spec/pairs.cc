#include "common/spec/pairs.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/spec/modules.h"
#include "common/status.h"

namespace qsweep {

PatternPair SplitPair(absl::string_view element) {
  const size_t equals = element.rfind('=');
  if (equals == absl::string_view::npos) return {};
  return {element.substr(0, equals), element.substr(equals + 1)};
}

absl::string_view PairFor(absl::string_view module,
                          const google::protobuf::RepeatedPtrField<std::string>& pairs) {
  for (const std::string& element : pairs) {
    const PatternPair pair = SplitPair(element);
    if (ModuleMatches(module, pair.pattern)) return pair.value;
  }
  return {};
}

int64_t RankOf(absl::string_view module, const v1::Lora& lora) {
  const absl::string_view own = PairFor(module, lora.rank_pattern());
  int64_t rank = lora.rank();
  QSWEEP_CHECK(own.empty() || absl::SimpleAtoi(own, &rank));
  return rank;
}

double AlphaOf(absl::string_view module, const v1::Lora& lora) {
  const absl::string_view own = PairFor(module, lora.alpha_pattern());
  double alpha = lora.alpha();
  QSWEEP_CHECK(own.empty() || absl::SimpleAtod(own, &alpha));
  return alpha;
}

double LoraScaling(double alpha, int64_t rank, bool rslora) {
  const auto r = static_cast<double>(rank);
  return alpha / (rslora ? std::sqrt(r) : r);
}

v1::Quantization QuantizationOf(absl::string_view module, const v1::Quantization& quantization) {
  v1::Quantization own = quantization;
  own.clear_overrides();
  own.clear_skip_modules();
  if (own.bits() < 0) own.set_bits(4);
  const absl::string_view type = PairFor(module, quantization.overrides());
  if (type == "int8") {
    own.set_bits(8);
  } else if (!type.empty() && type != "none") {
    own.set_bits(4);
    own.set_quant_type(std::string(type));
  }
  if (type == "none" || ModuleMatchesAny(module, quantization.skip_modules())) own.set_bits(0);
  if (own.bits() != 4) own.set_double_quant(false);
  return own;
}

bool MayUseFourBits(const v1::ExperimentSpec& spec) {
  const v1::Quantization& quantization = spec.quantization();
  if (spec.training().method() == "sensitivity") return quantization.bits() != 8;
  return quantization.bits() == 4 || quantization.bits() < 0 ||
         std::any_of(quantization.overrides().begin(), quantization.overrides().end(),
                     [](const std::string& element) {
                       const absl::string_view type = SplitPair(element).value;
                       return type != "none" && type != "int8";
                     });
}

bool MayUseEightBits(const v1::ExperimentSpec& spec) {
  const v1::Quantization& quantization = spec.quantization();
  return spec.training().method() != "sensitivity" &&
         (quantization.bits() == 8 || quantization.bits() < 0 ||
          std::any_of(
              quantization.overrides().begin(), quantization.overrides().end(),
              [](const std::string& element) { return SplitPair(element).value == "int8"; }));
}

bool Quantizes(const v1::Quantization& quantization) {
  return quantization.bits() != 0 ||
         std::any_of(quantization.overrides().begin(), quantization.overrides().end(),
                     [](const std::string& element) { return SplitPair(element).value != "none"; });
}

std::string QuantTypeName(const v1::Quantization& of_module) {
  return of_module.bits() == 0 ? "none" : of_module.bits() == 8 ? "int8" : of_module.quant_type();
}

std::string QuantizationLabel(const v1::Quantization& quantization) {
  if (!Quantizes(quantization)) return "none";
  if (quantization.bits() < 0) return absl::StrCat("auto-", quantization.bits_budget(), "b");
  if (!quantization.overrides().empty()) return "mixed";
  const bool dynamic = quantization.bits() == 8 && quantization.int8_compute() == "dynamic";
  return absl::StrCat(QuantTypeName(quantization), dynamic ? "+dyn" : "",
                      quantization.bits() == 4 && quantization.double_quant() ? "+dq" : "");
}

}  // namespace qsweep
