#include "worker/engine/data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "worker/engine/data/vector_clones.h"

namespace qsweep::engine {
namespace {

// A weight w is held as round(w * 2^22): 8 bits for the pixel, 2 for weights beyond 0 .. 1.
constexpr int kPrecisionBits = 32 - 8 - 2;

// Keys' cubic convolution kernel, a = -0.5.
double Bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

int32_t ToFixedPoint(double weight) {
  return static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kPrecisionBits));
}

// sum[x] += weight * line[x]. The loops over x are where the time goes.
QSWEEP_VECTOR_CLONES void Accumulate(const uint8_t* line, int32_t weight, int64_t width,
                                     int32_t* sum) {
  for (int64_t x = 0; x < width; ++x) sum[x] += weight * line[x];
}

QSWEEP_VECTOR_CLONES void ToPixels(const int32_t* sum, int64_t width, uint8_t* line) {
  for (int64_t x = 0; x < width; ++x) {
    line[x] = static_cast<uint8_t>(std::clamp(sum[x] >> kPrecisionBits, 0, 255));
  }
}

constexpr int64_t kTile = 8;

// In each pair of rows that lie `apart`, the first's bytes that are `apart` above those in `low`
// change places with the second's in `low`: with 1, 2 and 4 this transposes a tile.
void SwapQuarters(int apart, uint64_t low, uint64_t* rows) {
  for (int i = 0; i < kTile; ++i) {
    if ((i & apart) != 0) continue;
    const uint64_t changed = ((rows[i] >> (8 * apart)) ^ rows[i + apart]) & low;
    rows[i] ^= changed << (8 * apart);
    rows[i + apart] ^= changed;
  }
}

// Of 8 x 8 bytes, in registers: one by one they would take five times as long.
void TransposeTile(const uint8_t* in, int64_t stride, uint8_t* out, int64_t out_stride) {
  uint64_t rows[kTile];
  for (int64_t i = 0; i < kTile; ++i) std::memcpy(&rows[i], in + i * stride, kTile);
  SwapQuarters(1, 0x00ff00ff00ff00ff, rows);
  SwapQuarters(2, 0x0000ffff0000ffff, rows);
  SwapQuarters(4, 0x00000000ffffffff, rows);
  for (int64_t i = 0; i < kTile; ++i) std::memcpy(out + i * out_stride, &rows[i], kTile);
}

// Of [height, width] whose rows lie `stride` apart.
void Transpose(const uint8_t* in, int64_t stride, int64_t height, int64_t width, uint8_t* out) {
  const int64_t tiled_height = height / kTile * kTile, tiled_width = width / kTile * kTile;
  for (int64_t y = 0; y < tiled_height; y += kTile) {
    for (int64_t x = 0; x < tiled_width; x += kTile) {
      TransposeTile(in + y * stride + x, stride, out + x * height + y, height);
    }
  }
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = y < tiled_height ? tiled_width : 0; x < width; ++x) {
      out[x * height + y] = in[y * stride + x];
    }
  }
}

}  // namespace

Resampler::Axis::Axis(int64_t in, int64_t out, Span made) : made(made), needed(made) {
  if (in == out) return;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  for (int64_t i = made.begin; i < made.begin + made.size; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    Span lines;
    lines.begin = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    lines.size = std::min(static_cast<int64_t>(centre + support + 0.5), in) - lines.begin;
    windows.push_back({lines, static_cast<int64_t>(weights.size())});
    std::vector<double> exact;
    double sum = 0;
    for (int64_t k = 0; k < lines.size; ++k) {
      exact.push_back(
          Bicubic((static_cast<double>(k + lines.begin) - centre + 0.5) / filter_scale));
      sum += exact.back();
    }
    for (double weight : exact) weights.push_back(ToFixedPoint(weight / sum));
  }
  const Span first = windows.front().lines, last = windows.back().lines;
  needed = {first.begin, last.begin + last.size - first.begin};
}

Resampler::Resampler(int64_t in_height, int64_t in_width, int64_t out_height, int64_t out_width)
    : Resampler(in_height, in_width, out_height, out_width, {0, out_height}, {0, out_width}) {}

Resampler::Resampler(int64_t in_height, int64_t in_width, int64_t out_height, int64_t out_width,
                     Span rows, Span columns)
    : in_width_(in_width),
      rows_(in_height, out_height, rows),
      columns_(in_width, out_width, columns) {}

void Resampler::ResizeColumns(const Axis& axis, int64_t width, const uint8_t* in, uint8_t* out) {
  if (axis.windows.empty()) {
    std::copy_n(in, axis.made.size * width, out);
    return;
  }
  thread_local std::vector<int32_t> sum;
  for (const Window& window : axis.windows) {
    sum.assign(width, 1 << (kPrecisionBits - 1));
    const uint8_t* line = in + (window.lines.begin - axis.needed.begin) * width;
    for (int64_t k = 0; k < window.lines.size; ++k, line += width) {
      Accumulate(line, axis.weights[window.weights + k], width, sum.data());
    }
    ToPixels(sum.data(), width, out);
    out += width;
  }
}

void Resampler::Resize(const uint8_t* in, uint8_t* out) const {
  // Lines along x are resized as columns of the transposed image, whose neighbours lie side by
  // side.
  const int64_t height = rows_.needed.size, width = columns_.needed.size;
  thread_local std::vector<uint8_t> upright, wide;
  upright.resize(height * std::max(width, columns_.made.size));
  wide.resize(height * columns_.made.size);
  Transpose(in + rows_.needed.begin * in_width_ + columns_.needed.begin, in_width_, height, width,
            upright.data());
  ResizeColumns(columns_, height, upright.data(), wide.data());
  Transpose(wide.data(), height, columns_.made.size, height, upright.data());
  ResizeColumns(rows_, columns_.made.size, upright.data(), out);
}

}  // namespace qsweep::engine
