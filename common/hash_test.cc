#include "common/hash.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/testing/temporary_directory.h"

namespace qsweep {
namespace {

// FIPS 180-4's example and the empty message.
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Hash, Sha256) {
  EXPECT_EQ(Sha256Hex("abc"), kAbc);
  EXPECT_EQ(Sha256Hex(""), kEmpty);
  Sha256 hash;
  hash.Update("a");
  hash.Update("bc");
  EXPECT_EQ(hash.Hex(), kAbc);
}

TEST(Hash, Sha256OfFiles) {
  const TemporaryDirectory directory;
  const std::string path = directory.Path("file");
  const std::string large(3'000'000, 'x');  // more than a buffer
  ASSERT_TRUE(WriteFileAtomic(path, large).ok());
  EXPECT_EQ(Sha256HexOfFile(path).value(), Sha256Hex(large));
  ASSERT_TRUE(WriteFileAtomic(path, "").ok());
  EXPECT_EQ(Sha256HexOfFile(path).value(), kEmpty);
  ASSERT_TRUE(RemoveTree(path).ok());
  EXPECT_EQ(Sha256HexOfFile(path).status(),
            absl::NotFoundError(path + ": open: No such file or directory"));
  EXPECT_EQ(Sha256HexOfFile(directory.path()).status(),
            absl::DataLossError(directory.path() + ": read: Is a directory"));
}

TEST(Hash, TellsHexFromOtherNames) {
  EXPECT_TRUE(IsSha256Hex(kAbc));
  EXPECT_FALSE(IsSha256Hex(std::string(64, 'A')));
  EXPECT_FALSE(IsSha256Hex(std::string(63, 'a')));
  EXPECT_FALSE(IsSha256Hex(absl::StrCat("../", std::string(61, 'a'))));
}

// The check value of CRC-32/ISO-HDLC.
TEST(Hash, Crc32) {
  EXPECT_EQ(Crc32("123456789"), 0xcbf43926u);
  EXPECT_EQ(Crc32("56789", Crc32("1234")), 0xcbf43926u);
  EXPECT_EQ(Crc32(absl::string_view(), 7), 7u);
}

}  // namespace
}  // namespace qsweep
