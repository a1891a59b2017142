#include "common/quant/codes.h"

#include <algorithm>
#include <cmath>

namespace qsweep {
namespace {

// How many of the pivots lie below x: without branches, so the compiler makes vector code of it.
template <size_t N>
int CountBelow(const std::array<float, N>& pivots, float x) {
  int count = 0;
  for (float pivot : pivots) count += x > pivot;
  return count;
}

std::array<float, 256> MakeDynamicMap() {
  // Decade i, 10^(i-6) times 0.1 .. 1, is cut into 2^i equal parts, whose middles are values, as
  // are their negatives; and 0 and 1.
  std::array<float, 256> map{};
  size_t n = 0;
  for (int i = 0; i < 7; ++i) {
    const int parts = 1 << i;
    for (int k = 0; k < parts; ++k) {
      map[n] = static_cast<float>(std::pow(10.0, i - 6) * (0.1 + 0.9 * (k + 0.5) / parts));
      map[n + 1] = -map[n];
      n += 2;
    }
  }
  map[n++] = 0.0f;
  map[n++] = 1.0f;
  std::sort(map.begin(), map.end());
  return map;
}

}  // namespace

uint8_t Nf4Code(float x) {
  // Midpoints of the values, with the digits of bitsandbytes' kernel (csrc/kernels.cu).
  static constexpr std::array<float, 15> kPivots = {
      -0.8480964004993439f,  -0.6106329262256622f,  -0.4599952697753906f,   -0.33967943489551544f,
      -0.23460740596055984f, -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f,
      0.1202552504837513f,   0.2035212516784668f,   0.2920137718319893f,    0.3893125355243683f,
      0.5016634166240692f,   0.6427869200706482f,   0.8614784181118011f};
  return static_cast<uint8_t>(CountBelow(kPivots, x));
}

uint8_t Fp4Code(float x) {
  // Likewise.
  static constexpr std::array<float, 7> kPivots = {
      0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f};
  static constexpr std::array<uint8_t, 8> kByMagnitude = {0, 1, 6, 7, 4, 5, 2, 3};
  const int sign = x < 0 ? 8 : 0;
  return static_cast<uint8_t>(sign | kByMagnitude[CountBelow(kPivots, std::fabs(x))]);
}

const std::array<float, 256>& DynamicMap() {
  static const std::array<float, 256> map = MakeDynamicMap();
  return map;
}

uint8_t DynamicCode(float x) {
  static const std::array<float, 255> midpoints = [] {
    const std::array<float, 256>& map = DynamicMap();
    std::array<float, 255> between{};
    for (size_t i = 0; i < 255; ++i) between[i] = (map[i] + map[i + 1]) / 2;
    return between;
  }();
  return static_cast<uint8_t>(std::lower_bound(midpoints.begin(), midpoints.end(), x) -
                              midpoints.begin());
}

}  // namespace qsweep
