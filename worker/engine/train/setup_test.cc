#include "worker/engine/train/setup.h"

#include <gtest/gtest.h>

namespace qsweep::engine {
namespace {

Dataset Pictures(const char* split, const char* name) {
  Dataset pictures;
  pictures.files = {std::string("/data/") + split + "/cat/" + name};
  pictures.labels = {0};
  return pictures;
}

TEST(DescribeInputs, EveryPictureCounts) {
  const auto crc = [](const char* training, const char* evaluation) {
    return DescribeInputs("", Pictures("train", training), Pictures("val", evaluation))
        .images_crc32();
  };
  EXPECT_EQ(crc("a.png", "b.png"), crc("a.png", "b.png"));
  EXPECT_NE(crc("a.png", "b.png"), crc("c.png", "b.png"));
  EXPECT_NE(crc("a.png", "b.png"), crc("a.png", "c.png"));
}

}  // namespace
}  // namespace qsweep::engine
