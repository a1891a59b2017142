#include "worker/engine/data/image.h"

#include <png.h>
#include <turbojpeg.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace qsweep::engine {
namespace {

constexpr absl::string_view kJpegMagic("\xff\xd8\xff", 3);
constexpr absl::string_view kPngMagic("\x89PNG\r\n\x1a\n", 8);

absl::Status CheckSize(int64_t width, int64_t height) {
  if (width > 0 && height > 0 && width <= kMaxPixels / height) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(width, " x ", height, " pixels; at most ", kMaxPixels, " are allowed"));
}

// Interleaved rows of `stride` bytes a pixel to planes of its first three.
Image ToPlanes(const std::vector<uint8_t>& interleaved, int64_t stride, int64_t width,
               int64_t height) {
  Image image{.channels = 3, .height = height, .width = width};
  const int64_t count = width * height;
  image.pixels.resize(3 * count);
  for (int64_t c = 0; c < 3; ++c) {
    uint8_t* const plane = image.pixels.data() + c * count;
    for (int64_t i = 0; i < count; ++i) plane[i] = interleaved[i * stride + c];
  }
  return image;
}

// Adobe's CMYK is stored inverted: 255 is no ink. The same rounding as Pillow's cmyk2rgb.
void CmykToRgb(std::vector<uint8_t>* pixels) {
  for (size_t i = 0; i < pixels->size(); i += 4) {
    const int white = (*pixels)[i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const int product = (255 - (*pixels)[i + c]) * white + 128;
      (*pixels)[i + c] = static_cast<uint8_t>(white - (((product >> 8) + product) >> 8));
    }
  }
}

absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes) {
  const tjhandle decoder = tjInitDecompress();
  if (decoder == nullptr) return absl::ResourceExhaustedError("no memory for a JPEG decoder");
  const absl::Cleanup destroy = [decoder] { tjDestroy(decoder); };
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto error = [decoder] {
    return absl::DataLossError(absl::StrCat("damaged JPEG: ", tjGetErrorStr2(decoder)));
  };
  int width = 0, height = 0, subsampling = 0, colours = 0;
  if (tjDecompressHeader3(decoder, data, bytes.size(), &width, &height, &subsampling, &colours) !=
      0) {
    return error();
  }
  RETURN_IF_ERROR(CheckSize(width, height));
  const bool cmyk = colours == TJCS_CMYK || colours == TJCS_YCCK;
  const int format = cmyk ? TJPF_CMYK : TJPF_RGB;
  std::vector<uint8_t> pixels(int64_t{width} * height * tjPixelSize[format]);
  // A truncated file is a warning to the decoder, which fills the rest with grey.
  if (tjDecompress2(decoder, data, bytes.size(), pixels.data(), width, 0, height, format,
                    TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING) != 0) {
    return error();
  }
  if (cmyk) CmykToRgb(&pixels);
  return ToPlanes(pixels, tjPixelSize[format], width, height);
}

absl::StatusOr<Image> DecodePng(absl::string_view bytes) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const absl::Cleanup release = [&png] { png_image_free(&png); };
  const auto error = [&png] {
    return absl::DataLossError(absl::StrCat("damaged PNG: ", png.message));
  };
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0) return error();
  RETURN_IF_ERROR(CheckSize(png.width, png.height));
  png.format = PNG_FORMAT_RGBA;  // with alpha, for libpng would blend the pixels with a background
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(png));
  if (png_image_finish_read(&png, nullptr, pixels.data(), 0, nullptr) == 0) return error();
  return ToPlanes(pixels, 4, png.width, png.height);
}

}  // namespace

absl::StatusOr<Image> DecodeImage(absl::string_view bytes) {
  if (absl::StartsWith(bytes, kJpegMagic)) return DecodeJpeg(bytes);
  if (absl::StartsWith(bytes, kPngMagic)) return DecodePng(bytes);
  return absl::DataLossError("neither a JPEG nor a PNG");
}

}  // namespace qsweep::engine
