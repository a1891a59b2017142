// PATTERN=VALUE elements of a spec's lists: what a module has of its own.
#ifndef QSWEEP_COMMON_SPEC_PAIRS_H_
#define QSWEEP_COMMON_SPEC_PAIRS_H_

#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

struct PatternPair {
  absl::string_view pattern, value;  // both empty if there is no '='
};
PatternPair SplitPair(absl::string_view element);

// The value of the first pattern that matches `module` (modules.h); empty: none does.
absl::string_view PairFor(absl::string_view module,
                          const google::protobuf::RepeatedPtrField<std::string>& pairs);

// Of a spec without problems.
int64_t RankOf(absl::string_view module, const v1::Lora& lora);
double AlphaOf(absl::string_view module, const v1::Lora& lora);

// What the product of an adapter's two matrices is multiplied by.
double LoraScaling(double alpha, int64_t rank, bool rslora);

// How one module is quantized: `bits` (0: not) and `quant_type` its own, overrides and skips
// applied and emptied. Under bits: auto, what no override names has 4 bits.
v1::Quantization QuantizationOf(absl::string_view module, const v1::Quantization& quantization);

// Whether any layer can be quantized at all.
bool Quantizes(const v1::Quantization& quantization);
// Whether 4-bit layers are possible, so that block size and double quantization mean something. A
// sensitivity run measures them unless it asks for 8 bits.
bool MayUseFourBits(const v1::ExperimentSpec& spec);
// Whether a run can compute with int8 layers.
bool MayUseEightBits(const v1::ExperimentSpec& spec);

// "none", "int8" or the 4-bit type of what QuantizationOf returns.
std::string QuantTypeName(const v1::Quantization& of_module);

// What a run's base is called wherever one is told: none, int8, int8+dyn, nf4, nf4+dq, fp4, ...;
// mixed with overrides; auto-5b of five bits a weight.
std::string QuantizationLabel(const v1::Quantization& quantization);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_PAIRS_H_
