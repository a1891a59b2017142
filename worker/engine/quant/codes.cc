#include "worker/engine/quant/codes.h"

#include <algorithm>
#include <cmath>

namespace qsweep::engine {
namespace {

// Between neighbours of an ascending table.
template <size_t N>
constexpr std::array<float, N - 1> Midpoints(const std::array<float, N>& values) {
  std::array<float, N - 1> midpoints{};
  for (size_t i = 0; i + 1 < N; ++i) midpoints[i] = (values[i] + values[i + 1]) / 2;
  return midpoints;
}

// How many of the pivots lie below x: without branches, so the compiler makes vector code of it.
template <size_t N>
int CountBelow(const std::array<float, N>& pivots, float x) {
  int count = 0;
  for (float pivot : pivots) count += x > pivot;
  return count;
}

std::array<float, 256> MakeDynamicMap() {
  // Decade i (10^(i-6), 10^(i-5)) is cut into 2^i equal parts, whose middles are the values; then 0
  // and 1.
  std::array<float, 256> map{};
  size_t n = 0;
  for (int i = 0; i < 7; ++i) {
    const int parts = 1 << i;
    const float step = (1.0f - 0.1f) / static_cast<float>(parts);
    const float decade = static_cast<float>(std::pow(10.0, i - 6));
    // torch.linspace counts from the nearer end.
    const auto boundary = [&](int k) {
      return k < (parts + 1) / 2 ? 0.1f + step * static_cast<float>(k)
                                 : 1.0f - step * static_cast<float>(parts - k);
    };
    for (int k = 0; k < parts; ++k) {
      const float value = decade * ((boundary(k) + boundary(k + 1)) / 2);
      map[n++] = value;
      map[n++] = -value;
    }
  }
  map[n++] = 0.0f;
  map[n++] = 1.0f;
  std::sort(map.begin(), map.end());
  return map;
}

}  // namespace

uint8_t Nf4Code(float x) {
  static constexpr std::array<float, 15> kPivots = Midpoints(kNf4Values);
  return static_cast<uint8_t>(CountBelow(kPivots, x));
}

uint8_t Fp4Code(float x) {
  // The pivots' digits are those of bitsandbytes' kernel.
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
  static const std::array<float, 255> midpoints = Midpoints(DynamicMap());
  return static_cast<uint8_t>(std::lower_bound(midpoints.begin(), midpoints.end(), x) -
                              midpoints.begin());
}

}  // namespace qsweep::engine
