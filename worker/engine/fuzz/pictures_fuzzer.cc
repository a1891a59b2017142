// A picture of any bytes: an error, or as many pixels as its size says.
#include <cstddef>
#include <cstdint>

#include "common/status.h"
#include "worker/engine/data/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto image = qsweep::engine::DecodeImage({reinterpret_cast<const char*>(data), size});
  if (!image.ok()) return 0;
  const int64_t pixels = image->height * image->width;
  QSWEEP_CHECK(image->channels == 3 && pixels > 0 && pixels <= qsweep::engine::kMaxPixels);
  QSWEEP_CHECK(image->pixels.size() == static_cast<size_t>(3 * pixels));
  return 0;
}
