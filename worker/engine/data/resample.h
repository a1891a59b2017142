// Bicubic resize of 8-bit images, equal to Pillow's Image.resize(..., Image.BICUBIC) in every bit:
// a = -0.5, widened by the scale when it shrinks, 22-bit fixed-point weights, rows first, rounded
// to 8 bits in between. (Pillow: src/libImaging/Resample.c.)
#ifndef QSWEEP_WORKER_ENGINE_DATA_RESAMPLE_H_
#define QSWEEP_WORKER_ENGINE_DATA_RESAMPLE_H_

#include <cstdint>
#include <vector>

namespace qsweep::engine {

// A run of lines.
struct Span {
  int64_t begin = 0, size = 0;
};

// For images of one size. Safe to use from any thread.
class Resampler {
 public:
  Resampler(int64_t in_height, int64_t in_width, int64_t out_height, int64_t out_width);
  // Only these rows and columns of the result are made, from what they need of the image.
  Resampler(int64_t in_height, int64_t in_width, int64_t out_height, int64_t out_width, Span rows,
            Span columns);
  // One channel: [in_height, in_width] -> [rows.size, columns.size], rows one after the other.
  void Resize(const uint8_t* in, uint8_t* out) const;

 private:
  // The input lines that make one line of output.
  struct Window {
    Span lines;
    int64_t weights = 0;  // where their weights begin
  };
  struct Axis {
    Axis(int64_t in, int64_t out, Span made);
    Span made, needed;            // of the output, of the input
    std::vector<Window> windows;  // of the lines made; none: they are copied
    std::vector<int32_t> weights;
  };
  // [axis.needed.size, width] -> [axis.made.size, width].
  static void ResizeColumns(const Axis& axis, int64_t width, const uint8_t* in, uint8_t* out);

  const int64_t in_width_;
  const Axis rows_, columns_;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_RESAMPLE_H_
