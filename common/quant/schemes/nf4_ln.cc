// NF4 whose block scales are searched, not taken from the largest magnitude, so that the error of a
// layer's output is least. Codes, table and files are nf4's: whatever reads nf4 reads this.
//
// Why for Vision Transformers: qkv and fc1 read the output of a LayerNorm, x = γ z + β with z of
// mean square 1 over the channels. Its channels differ by far (FQ-ViT, arXiv 2111.13824, section
// 3.2, finds factors of 40 between them), and the error that a wrong weight makes in the output
// grows with its channel's mean square, γ² + β². That is known from the weights alone: no images
// are needed. And a small ViT has little redundancy to absorb the error: DeiT-tiny's rows are 192
// wide. The layers that read no norm are searched for the least mean square error.
#include <cmath>

#include "common/quant/codes.h"
#include "common/quant/scheme.h"

namespace qsweep {
namespace {

// Scales tried: the largest magnitude times 1, 0.98, ... down to half of it.
constexpr int kCandidates = 26;
constexpr float kStep = 0.02f;

float Error(const float* weights, const float* importance, int64_t count, float scale) {
  const float inverse = InverseScale(scale);
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float error = kNf4Values[Nf4Code(weights[i] * inverse)] * scale - weights[i];
    sum += (importance != nullptr ? importance[i] : 1.0f) * error * error;
  }
  return sum;
}

float BestScale(const float* weights, const float* importance, int64_t count) {
  const float most = AbsMax(weights, nullptr, count);
  float best = most, least = Error(weights, importance, count, most);
  for (int k = 1; k < kCandidates; ++k) {
    const float scale = most * (1 - kStep * static_cast<float>(k));
    const float error = Error(weights, importance, count, scale);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

const RegisterScheme registered({"nf4_ln", "nf4", kNf4Values, &Nf4Code, &BestScale});

}  // namespace
}  // namespace qsweep
