#include "worker/engine/data/image.h"

#include <png.h>
#include <turbojpeg.h>

#include <csetjmp>
#include <cstring>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/engine/data/vector_clones.h"

namespace qsweep::engine {
namespace {

constexpr absl::string_view kJpegMagic("\xff\xd8\xff", 3);
constexpr absl::string_view kPngMagic("\x89PNG\r\n\x1a\n", 8);

absl::Status CheckSize(int64_t width, int64_t height) {
  if (width > 0 && height > 0 && width <= kMaxPixels / height) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(width, " x ", height, " pixels; at most ", kMaxPixels, " are allowed"));
}

// For GCC to vectorize, the stride has to be known.
QSWEEP_VECTOR_CLONES void SplitRgb(const uint8_t* pixels, int64_t count, uint8_t* planes) {
  for (int64_t i = 0; i < count; ++i) {
    planes[i] = pixels[3 * i];
    planes[count + i] = pixels[3 * i + 1];
    planes[2 * count + i] = pixels[3 * i + 2];
  }
}

// Interleaved rows of `stride` bytes a pixel to planes of its first three.
Image ToPlanes(const std::vector<uint8_t>& interleaved, int64_t stride, int64_t width,
               int64_t height) {
  Image image{.channels = 3, .height = height, .width = width};
  const int64_t count = width * height;
  image.pixels.resize(3 * count);
  if (stride == 3) {
    SplitRgb(interleaved.data(), count, image.pixels.data());
    return image;
  }
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

// Whether the picture's own end marker is there; thumbnails in its segments have theirs.
bool HasJpegEnd(absl::string_view bytes) {
  const auto byte = [bytes](size_t at) { return static_cast<uint8_t>(bytes[at]); };
  for (size_t at = bytes.find('\xff', 2); at < bytes.size() - 1; at = bytes.find('\xff', at)) {
    const uint8_t marker = byte(at + 1);
    if (marker == 0xd9) return true;
    const bool alone = marker <= 0x01 || (0xd0 <= marker && marker <= 0xd8);
    if (marker == 0xff) {
      at += 1;
    } else if (alone || at + 3 >= bytes.size()) {
      at += 2;
    } else {
      at += 2 + 256 * byte(at + 2) + byte(at + 3);
    }
  }
  return false;
}

absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes) {
  const tjhandle decoder = tjInitDecompress();
  if (decoder == nullptr) return absl::ResourceExhaustedError("no memory for a JPEG decoder");
  const absl::Cleanup destroy = [decoder] { tjDestroy(decoder); };
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto error = [decoder] {
    return absl::DataLossError(absl::StrCat("damaged JPEG: ", tjGetErrorStr2(decoder)));
  };
  // As Pillow, take what the decoder only warns of, but for a truncated file, whose rest it would
  // fill with grey.
  const auto failed = [decoder, bytes](int code) {
    return code != 0 && (tjGetErrorCode(decoder) == TJERR_FATAL || !HasJpegEnd(bytes));
  };
  int width = 0, height = 0, subsampling = 0, colours = -1;
  const int header =
      tjDecompressHeader3(decoder, data, bytes.size(), &width, &height, &subsampling, &colours);
  // TurboJPEG has names for the usual ways to sample chroma, and an error for all others, of which
  // it decodes the pixels as well.
  const bool unnamed = width > 0 && height > 0 && colours >= 0 && subsampling < 0;
  if (!unnamed && failed(header)) return error();
  RETURN_IF_ERROR(CheckSize(width, height));
  const bool cmyk = colours == TJCS_CMYK || colours == TJCS_YCCK;
  const int format = cmyk ? TJPF_CMYK : TJPF_RGB;
  std::vector<uint8_t> pixels(int64_t{width} * height * tjPixelSize[format]);
  if (failed(tjDecompress2(decoder, data, bytes.size(), pixels.data(), width, 0, height, format,
                           TJFLAG_ACCURATEDCT))) {
    return error();
  }
  if (cmyk) CmykToRgb(&pixels);
  return ToPlanes(pixels, tjPixelSize[format], width, height);
}

struct PngSource {
  absl::string_view left;
  std::string error;
};

// libpng ends by a jump to the setjmp of who called it, who may have nothing to destroy.
[[noreturn]] void OnPngError(png_structp png, png_const_charp message) {
  static_cast<PngSource*>(png_get_error_ptr(png))->error = message;
  png_longjmp(png, 1);
}

void OnPngWarning(png_structp, png_const_charp) {}

void TakePngBytes(png_structp png, png_bytep out, size_t size) {
  PngSource& source = *static_cast<PngSource*>(png_get_io_ptr(png));
  if (source.left.size() < size) png_error(png, "it ends too early");
  std::memcpy(out, source.left.data(), size);
  source.left.remove_prefix(size);
}

// Rows are to come as three bytes a pixel: the high ones of 16 bits, and no gamma applied.
bool ReadPngHeader(png_structp png, png_infop info) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_info(png, info);
  png_set_strip_16(png);
  png_set_expand(png);
  png_set_strip_alpha(png);
  png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  return true;
}

bool ReadPngRows(png_structp png, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  return true;
}

absl::StatusOr<Image> DecodePng(absl::string_view bytes) {
  PngSource source{bytes, ""};
  png_structp png =
      png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, OnPngError, OnPngWarning);
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  const absl::Cleanup destroy = [&] { png_destroy_read_struct(&png, &info, nullptr); };
  if (info == nullptr) return absl::ResourceExhaustedError("no memory for a PNG decoder");
  const auto error = [&source] {
    return absl::DataLossError(absl::StrCat("damaged PNG: ", source.error));
  };
  png_set_read_fn(png, &source, TakePngBytes);
  if (!ReadPngHeader(png, info)) return error();
  const int64_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
  RETURN_IF_ERROR(CheckSize(width, height));
  std::vector<uint8_t> pixels(3 * width * height);
  std::vector<png_bytep> rows;
  for (int64_t y = 0; y < height; ++y) rows.push_back(pixels.data() + 3 * width * y);
  if (!ReadPngRows(png, rows.data())) return error();
  return ToPlanes(pixels, 3, width, height);
}

}  // namespace

absl::StatusOr<Image> DecodeImage(absl::string_view bytes) {
  if (absl::StartsWith(bytes, kJpegMagic)) return DecodeJpeg(bytes);
  if (absl::StartsWith(bytes, kPngMagic)) return DecodePng(bytes);
  return absl::DataLossError("neither a JPEG nor a PNG");
}

}  // namespace qsweep::engine
