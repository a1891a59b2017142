// 4-bit schemes by name. A scheme is one file in schemes/ that registers itself: what its sixteen
// codes stand for, how a number finds its code, and how large a block's scale is. Packing, blocks,
// double quantization, kernels, files and the choice of layers are the same for all
// (worker/engine/quant/), and quantization.quant_type of a spec may be any of them.
#ifndef QSWEEP_COMMON_QUANT_SCHEME_H_
#define QSWEEP_COMMON_QUANT_SCHEME_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace qsweep {

struct Scheme {
  std::string name;
  // The bitsandbytes quant_type whose readers decode these codes, in files; the scheme's own name
  // if it has a table of its own.
  std::string stored_as;
  std::array<float, 16> values;  // by code
  uint8_t (*code)(float x);      // of x = weight / scale
  // The scale of a block of `count` > 0 finite numbers. `importance` (null: all alike) holds the
  // mean square of the input that each of them is multiplied with.
  float (*scale)(const float* weights, const float* importance, int64_t count);
};

// The largest magnitude: what bitsandbytes takes.
float AbsMax(const float* weights, const float* importance, int64_t count);

// 1 / scale, or 0 where that is not finite: a block of nothing but zeros and numbers below 2.9e-39
// becomes zeros.
float InverseScale(float scale);

// nullptr: unknown.
const Scheme* FindScheme(absl::string_view name);
std::vector<std::string> SchemeNames();  // sorted

// static const RegisterScheme registered({...}); in the scheme's file.
struct RegisterScheme {
  explicit RegisterScheme(Scheme scheme);
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_QUANT_SCHEME_H_
