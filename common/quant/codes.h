// The code tables of the quantized formats and how a value finds its code. Values and ties are
// those of bitsandbytes: nearest code, ties to the smaller value.
#ifndef QSWEEP_COMMON_QUANT_CODES_H_
#define QSWEEP_COMMON_QUANT_CODES_H_

#include <array>
#include <cstdint>

namespace qsweep {

// NormalFloat4 (arXiv 2305.14314, appendix E): ascending, exact zero at 7.
inline constexpr std::array<float, 16> kNf4Values = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// FP4 by bit pattern; bit 3 is the sign.
inline constexpr std::array<float, 16> kFp4Values = {
    0.0f,  0.0625f / 12,  8.0f / 12,  1.0f,  4.0f / 12,  6.0f / 12,  2.0f / 12,  3.0f / 12,
    -0.0f, -0.0625f / 12, -8.0f / 12, -1.0f, -4.0f / 12, -6.0f / 12, -2.0f / 12, -3.0f / 12,
};

// The codes of x, about -1 .. 1.
uint8_t Nf4Code(float x);
uint8_t Fp4Code(float x);

// The 8-bit signed dynamic map, in which scales are quantized a second time: arXiv 1511.04561, as
// bitsandbytes' create_dynamic_map(signed=True, max_exponent_bits=7, total_bits=8) makes it.
// Ascending, -0.99296875 .. 1.
const std::array<float, 256>& DynamicMap();
uint8_t DynamicCode(float x);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_QUANT_CODES_H_
