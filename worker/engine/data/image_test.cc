#include "worker/engine/data/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <turbojpeg.h>

#include <nlohmann/json.hpp>

#include "common/file.h"
#include "common/hash.h"

namespace qsweep::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kPictures = QSWEEP_SOURCE_DIR "/tests/golden/pictures/";

std::string Bytes(const std::string& name) {
  return ReadFile(kPictures + name, 1 << 20).value_or("");
}

TEST(DecodeImage, AsPillowDoes) {
  const json all = json::parse(Bytes("expected.json")), &expected = all["decoded"];
  ASSERT_EQ(expected.size(), 10u);
  for (const auto& [name, picture] : expected.items()) {
    const auto image = DecodeImage(Bytes(name));
    ASSERT_TRUE(image.ok()) << name << ": " << image.status();
    EXPECT_EQ(image->channels, 3);
    EXPECT_EQ((std::vector<int64_t>{image->height, image->width}),
              picture["size"].get<std::vector<int64_t>>())
        << name;
    EXPECT_EQ(Sha256Hex(std::string(image->pixels.begin(), image->pixels.end())),
              picture["sha256"].get<std::string>())
        << name;
  }
}

// Cut anywhere: an error, never a picture filled up with grey.
TEST(DecodeImage, TruncatedPicturesAreDamaged) {
  for (const char* name :
       {"colour.jpg", "progressive.jpg", "colour.png", "palette.png", "blemish.jpg", "deep.png"}) {
    const std::string whole = Bytes(name);
    ASSERT_TRUE(DecodeImage(whole).ok());
    for (size_t size = 0; size + 20 < whole.size(); size += 1 + size / 8) {
      EXPECT_EQ(DecodeImage(whole.substr(0, size)).status().code(), absl::StatusCode::kDataLoss)
          << name << " cut to " << size;
    }
  }
}

// Any byte changed: a picture or an error, and no crash (the sanitizers' builds run this too).
TEST(DecodeImage, DamagedBytesAreHandled) {
  for (const char* name : {"grey.jpg", "cmyk.jpg", "alpha.png", "palette.png"}) {
    const std::string whole = Bytes(name);
    for (size_t i = 0; i < whole.size(); i += 1 + whole.size() / 400) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(~damaged[i]);
      const auto image = DecodeImage(damaged);
      if (image.ok()) {
        EXPECT_LE(image->width * image->height, kMaxPixels);
      }
    }
  }
}

// 8 x 8 pixels of mid-grey, whose luma is sampled three times as often as its chroma: the header of
// an ordinary JPEG, and the blocks that make up this one, all of them zeros.
std::string WithUnusualSampling() {
  const tjhandle encoder = tjInitCompress();
  const std::vector<unsigned char> grey(3 * 8 * 8, 128);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  EXPECT_EQ(tjCompress2(encoder, grey.data(), 8, 0, 8, TJPF_RGB, &data, &size, TJSAMP_444, 90, 0),
            0);
  std::string jpeg(reinterpret_cast<char*>(data), size);
  tjFree(data);
  tjDestroy(encoder);
  jpeg[jpeg.find("\xff\xc0") + 11] = 0x31;
  const size_t scan = jpeg.find("\xff\xda");
  // By the standard's codes: three times 00 1010 of luma, twice 00 00 of chroma, ones to fill up.
  return jpeg.substr(0, scan + 14) + "\x28\xa2\x80\x3f\xff\xd9";
}

TEST(DecodeImage, ChromaMayBeSampledInAnyWay) {
  const auto image = DecodeImage(WithUnusualSampling());
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->width, 8);
  EXPECT_EQ(image->pixels, std::vector<uint8_t>(3 * 8 * 8, 128));
}

TEST(DecodeImage, HugeDimensionsAreRefusedBeforeMemoryIsAskedFor) {
  std::string png = Bytes("colour.png");
  png.replace(16, 8, std::string("\x00\x00\xff\xff\x00\x00\xff\xff", 8));  // IHDR: 65535 x 65535
  EXPECT_EQ(DecodeImage(png).status().code(), absl::StatusCode::kDataLoss);
  std::string jpeg = Bytes("grey.jpg");
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xfd\xe8\xfd\xe8");
  EXPECT_THAT(DecodeImage(jpeg).status().message(), HasSubstr("65000 x 65000 pixels; at most"));
}

TEST(DecodeImage, OtherFormatsAreNamed) {
  for (const char* bytes : {"", "GIF89a", "\xff\xd8", "not a picture"}) {
    EXPECT_THAT(DecodeImage(bytes).status().message(), HasSubstr("neither a JPEG nor a PNG"));
  }
}

}  // namespace
}  // namespace qsweep::engine
