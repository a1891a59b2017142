#include "common/quant/codes.h"

#include <gtest/gtest.h>

#include <cmath>

namespace qsweep {
namespace {

// At a midpoint the code below, just above it the one above. bitsandbytes' pivots are midpoints
// rounded to fp32, so the change lies within one step of the exact midpoint.
TEST(Codes, Nf4TiesGoDown) {
  for (int i = 0; i < 15; ++i) {
    const float midpoint = static_cast<float>((double{kNf4Values[i]} + kNf4Values[i + 1]) / 2);
    EXPECT_EQ(Nf4Code(std::nextafter(midpoint, -2.0f)), i);
    EXPECT_EQ(Nf4Code(std::nextafter(std::nextafter(midpoint, 2.0f), 2.0f)), i + 1);
  }
  EXPECT_EQ(Nf4Code(0.03979014977812767f), 7);  // the pivots themselves
  EXPECT_EQ(Nf4Code(0.8614784181118011f), 14);
  EXPECT_EQ(Nf4Code(-0.8480964004993439f), 0);
  for (int code = 0; code < 16; ++code) EXPECT_EQ(Nf4Code(kNf4Values[code]), code);
  EXPECT_EQ(Nf4Code(1.0000001f), 15);
  EXPECT_EQ(Nf4Code(-0.0f), 7);
}

TEST(Codes, Fp4IsSignAndMagnitude) {
  for (int code = 0; code < 8; ++code) {
    EXPECT_EQ(Fp4Code(kFp4Values[code]), code);
    EXPECT_EQ(kFp4Values[code + 8], -kFp4Values[code]);
    EXPECT_EQ(Fp4Code(-kFp4Values[code]), code == 0 ? 0 : code + 8);
  }
  EXPECT_EQ(Fp4Code(0.20833333f), 6);  // a tie: to 1/6, not to 1/4
  EXPECT_EQ(Fp4Code(std::nextafter(0.20833333f, 1.0f)), 7);
  EXPECT_EQ(Fp4Code(-0.001f), 8);  // rounds to zero and keeps its sign
}

TEST(Codes, DynamicMapIsThePublishedOne) {
  const std::array<float, 256>& map = DynamicMap();
  EXPECT_EQ(map.front(), -0.99296875f);
  EXPECT_EQ(map[127], 0.0f);  // 127 negative values
  EXPECT_EQ(map.back(), 1.0f);
  EXPECT_FLOAT_EQ(map[128], 5.5e-7f);
  EXPECT_FLOAT_EQ(map[126], -5.5e-7f);
  for (int code = 0; code < 256; ++code) EXPECT_EQ(DynamicCode(map[code]), code);
  EXPECT_EQ(DynamicCode((map[200] + map[201]) / 2), 200);
}

}  // namespace
}  // namespace qsweep
