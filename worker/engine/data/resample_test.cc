#include "worker/engine/data/resample.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "common/file.h"
#include "common/hash.h"

namespace qsweep::engine {
namespace {

using nlohmann::json;

// Against Pillow (tests/golden/resize.py), every byte.
TEST(Resampler, EqualsPillow) {
  const auto text = ReadFile(QSWEEP_SOURCE_DIR "/tests/golden/resize.json", 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const json golden = json::parse(*text);
  ASSERT_EQ(golden["cases"].size(), 7u);
  for (const json& entry : golden["cases"]) {
    SCOPED_TRACE(entry["in"].dump() + " -> " + entry["out"].dump());
    const int64_t height = entry["out"][0], width = entry["out"][1];
    const std::vector<uint8_t> in = entry["pixels"];
    std::vector<uint8_t> out(height * width);
    Resampler(entry["in"][0], entry["in"][1], height, width).Resize(in.data(), out.data());
    if (entry.contains("resized")) {
      EXPECT_EQ(out, entry["resized"].get<std::vector<uint8_t>>());
    }
    EXPECT_EQ(Sha256Hex({reinterpret_cast<const char*>(out.data()), out.size()}),
              entry["sha256"].get<std::string>());
  }
}

TEST(Resampler, APartEqualsThatOfTheWhole) {
  std::vector<uint8_t> in(60 * 50), whole(70 * 20), part(30 * 8);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint8_t>(i * i % 251);
  Resampler(60, 50, 70, 20).Resize(in.data(), whole.data());
  Resampler(60, 50, 70, 20, {25, 30}, {9, 8}).Resize(in.data(), part.data());
  for (int y = 0; y < 30; ++y) {
    for (int x = 0; x < 8; ++x) ASSERT_EQ(part[y * 8 + x], whole[(25 + y) * 20 + 9 + x]);
  }
}

// The whole would take 12 GB.
TEST(Resampler, APartOfALongThinImageIsSmall) {
  std::vector<uint8_t> in(50'000'000, 77), part(224 * 224);
  const int64_t length = int64_t{248} * 50'000'000;
  Resampler(50'000'000, 1, length, 248, {length / 2, 224}, {12, 224})
      .Resize(in.data(), part.data());
  EXPECT_EQ(part, std::vector<uint8_t>(224 * 224, 77));
}

TEST(Resampler, SameSizeIsACopy) {
  std::vector<uint8_t> in(6), out(6);
  for (int i = 0; i < 6; ++i) in[i] = static_cast<uint8_t>(i * 40);
  Resampler(2, 3, 2, 3).Resize(in.data(), out.data());
  EXPECT_EQ(out, in);
}

}  // namespace
}  // namespace qsweep::engine
