// Bicubic resize of 8-bit images, equal to Pillow's Image.resize(..., Image.BICUBIC) in every bit:
// a = -0.5, widened by the scale when it shrinks, 22-bit fixed-point weights, rows first, rounded
// to 8 bits in between. (Pillow: src/libImaging/Resample.c.)
#ifndef QSWEEP_WORKER_ENGINE_DATA_RESAMPLE_H_
#define QSWEEP_WORKER_ENGINE_DATA_RESAMPLE_H_

#include <cstdint>
#include <vector>

namespace qsweep::engine {

// For images of one size. Safe to use from any thread.
class Resampler {
 public:
  Resampler(int64_t in_height, int64_t in_width, int64_t out_height, int64_t out_width);
  // One channel: [in_height, in_width] -> [out_height, out_width], rows one after the other.
  void Resize(const uint8_t* in, uint8_t* out) const;

 private:
  // What makes one line of output out of `size` input lines from `first` on.
  struct Window {
    int64_t first = 0, size = 0;
    int64_t weights = 0;  // where its weights begin
  };
  struct Axis {
    Axis(int64_t in, int64_t out);
    int64_t in, out;
    std::vector<Window> windows;
    std::vector<int32_t> weights;
  };
  // [axis.in, width] -> [axis.out, width].
  static void ResizeColumns(const Axis& axis, int64_t width, const uint8_t* in, uint8_t* out);

  const Axis rows_, columns_;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_RESAMPLE_H_
