// One picture in memory, and how a JPEG or PNG file becomes one.
#ifndef QSWEEP_WORKER_ENGINE_DATA_IMAGE_H_
#define QSWEEP_WORKER_ENGINE_DATA_IMAGE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qsweep::engine {

struct Image {
  int64_t channels = 0, height = 0, width = 0;
  std::vector<uint8_t> pixels;  // [channels, height, width]
};

// No picture may have more pixels: 150 MB decoded. ImageNet's largest has 21 million.
inline constexpr int64_t kMaxPixels = 50'000'000;

// Three channels, as Pillow's Image.open(...).convert("RGB"): grey is repeated, alpha dropped, 16
// bits cut to the high 8 (of grey, too, which Pillow saturates), a JPEG's CMYK converted, no gamma,
// no rotation by EXIF. libjpeg-turbo and libpng decode. DataLoss for bytes that are no whole JPEG
// or PNG, or of more than kMaxPixels (found before memory is asked for).
absl::StatusOr<Image> DecodeImage(absl::string_view bytes);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_IMAGE_H_
