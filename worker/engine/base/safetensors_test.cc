#include "worker/engine/base/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "common/file.h"
#include "common/testing/temporary_directory.h"
#include "worker/engine/base/random.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

class SafetensorsTest : public testing::Test {
 protected:
  const TemporaryDirectory directory_;
  const std::string path_ = directory_.Path("model.safetensors");

  void Put(const std::string& header, const std::string& data) {
    const uint64_t bytes = header.size();
    std::string text(reinterpret_cast<const char*>(&bytes), sizeof bytes);
    ASSERT_TRUE(WriteFileAtomic(path_, text + header + data).ok());
  }
  absl::Status Read() { return ReadTensorFile(path_).status(); }
  void ExpectDataLoss(const std::string& header, const std::string& data, const std::string& what) {
    Put(header, data);
    const absl::Status status = Read();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << header << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what)) << header;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  }
};

TensorFile Example() {
  TensorFile file;
  for (at::ScalarType type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
                              at::kInt, at::kShort, at::kChar, at::kByte, at::kBool}) {
    file.tensors[c10::toString(type)] = at::arange(6).reshape({2, 3}).remainder(2).to(type);
  }
  file.tensors["scalar"] = at::scalar_tensor(2.5);
  file.tensors["none"] = at::empty({0, 4});
  file.tensors["odd"] = at::arange(5).to(at::kByte);
  file.tensors["strided"] = at::arange(6, at::kFloat).reshape({2, 3}).t();
  file.metadata = {{"format", "pt"}, {"note", "\"quoted\"\n"}};
  return file;
}

TEST_F(SafetensorsTest, RoundTrip) {
  const TensorFile written = Example();
  ASSERT_TRUE(WriteTensorFile(path_, written).ok());
  const absl::StatusOr<TensorFile> read = ReadTensorFile(path_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->metadata, written.metadata);
  ASSERT_EQ(read->tensors.size(), written.tensors.size());
  for (const auto& [name, tensor] : written.tensors) {
    EXPECT_TRUE(read->tensors.at(name).is_contiguous()) << name;
    EXPECT_EQ(read->tensors.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(read->tensors.at(name).equal(tensor)) << name;
  }
}

TEST_F(SafetensorsTest, EqualContentGivesEqualBytesAndAlignedTensors) {
  ASSERT_TRUE(WriteTensorFile(path_, Example()).ok());
  const std::string first = *ReadFile(path_, 1 << 20);
  ASSERT_TRUE(WriteTensorFile(path_, Example()).ok());
  EXPECT_EQ(*ReadFile(path_, 1 << 20), first);
  uint64_t header = 0;
  std::memcpy(&header, first.data(), sizeof header);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_EQ(first[8], '{');
}

TEST_F(SafetensorsTest, MissingFileIsNotFound) {
  EXPECT_EQ(ReadTensorFile("/nowhere/x.safetensors").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadTensorFile("/tmp").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SafetensorsTest, DamageIsNamed) {
  const std::string four(4, '\0'), eight(8, '\0');
  const std::string a = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  Put(a, four);
  EXPECT_TRUE(Read().ok()) << Read();
  ExpectDataLoss(a, "", "truncated");
  ExpectDataLoss(a, eight, "truncated or overwritten");
  ExpectDataLoss("[]", "", "no JSON object");
  ExpectDataLoss("{", "", "no JSON object");
  ExpectDataLoss(std::string(100000, '['), "", "no JSON object");
  ExpectDataLoss(R"({"a":{"shape":[[[[]]]]}})", "", "no JSON object");
  ExpectDataLoss(R"({"a":7})", "", "a: needs dtype");
  ExpectDataLoss(R"({"a":{"dtype":"F4","shape":[1],"data_offsets":[0,4]}})", four,
                 "a: unknown dtype F4");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", four,
                 "impossible shape");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", four,
                 "impossible shape");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})",
                 four, "impossible shape");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", four, "make 8 bytes");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", four, "make 4 bytes");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", four,
                 "no byte positions");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight,
                 "a: begins at byte 4");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                 R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                 four, "the tensor before it ends at 4");
  ExpectDataLoss(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                 R"("a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}})",
                 four, "the header names a twice");
  ExpectDataLoss(R"({"__metadata__":{"a":1}})", "", "a: no string");
  ExpectDataLoss(R"({"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", "\2", "BOOL");
  ASSERT_TRUE(WriteFileAtomic(path_, "abc").ok());
  EXPECT_THAT(std::string(Read().message()), HasSubstr("3 bytes"));
  ASSERT_TRUE(WriteFileAtomic(path_, std::string(16, '\xff')).ok());
  EXPECT_THAT(std::string(Read().message()), HasSubstr("no safetensors file"));
}

// Cut anywhere, or with random bytes changed: an error or a file whose tensors all can be read,
// never a crash. (The sanitizers' build is the judge of what "can be read" means.)
TEST_F(SafetensorsTest, SurvivesRandomDamage) {
  ASSERT_TRUE(WriteTensorFile(path_, Example()).ok());
  const std::string good = *ReadFile(path_, 1 << 20);
  for (size_t cut = 0; cut < good.size(); cut += 7) {
    ASSERT_TRUE(WriteFileAtomic(path_, absl::string_view(good).substr(0, cut)).ok());
    EXPECT_FALSE(Read().ok()) << cut;
  }
  RandomStream random(MakeKey(1, Purpose::kBenchmark), 0, 0);
  for (int i = 0; i < 1000; ++i) {
    std::string bad = good;
    for (uint32_t n = random.NextBelow(4) + 1; n > 0; --n) {
      bad[random.NextBelow(static_cast<uint32_t>(bad.size()))] =
          static_cast<char>(random.NextUint32());
    }
    ASSERT_TRUE(WriteFileAtomic(path_, bad).ok());
    const absl::StatusOr<TensorFile> read = ReadTensorFile(path_);
    if (!read.ok()) continue;
    for (const auto& [name, tensor] : read->tensors) tensor.to(at::kDouble).sum();
  }
}

}  // namespace
}  // namespace qsweep::engine
