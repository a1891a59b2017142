// The path of a user's weights: quantized, merged with an adapter, expanded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/base/safetensors.h"
#include "worker/engine/qtrain/qtrain_fixture.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

class WeightCommandsTest : public QtrainTest {};

// With bitsandbytes' keys.
TEST_F(WeightCommandsTest, WeightFilesAreQuantizedMergedAndExpanded) {
  const std::string peft = QSWEEP_SOURCE_DIR "/tests/golden/peft";
  const std::string base = JoinPath(peft, "base.safetensors");
  const auto quantized = Call(
      {"quantize", base, Directory("q"), "--double-quant", "--blocksize", "32", "--skip", "fc1"});
  ASSERT_TRUE(quantized.ok()) << quantized.status();
  EXPECT_THAT(*quantized, HasSubstr("7 of 10 tensors in nf4 with double quantization"));
  ASSERT_TRUE(Call({"dequantize", Directory("q"), Directory("d")}).ok());
  ASSERT_TRUE(Call({"merge", Directory("q"), peft, Directory("merged_q")}).ok());
  ASSERT_TRUE(Call({"merge", Directory("d"), peft, Directory("merged_d")}).ok());
  const std::string merged = ReadFile(Directory("merged_q"), 1 << 20).value_or("");
  EXPECT_FALSE(merged.empty());
  EXPECT_EQ(merged, ReadFile(Directory("merged_d"), 1 << 20).value_or(""));

  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"quantize", base, Directory("x"), "--blocksize", "65"},
        {"quantize", base, Directory("x"), "--bits", "8", "--double-quant"},
        {"quantize", Directory("q"), Directory("x")},
        {"dequantize", base, Directory("x")},
        {"merge", base, Directory("nowhere"), Directory("x")}}) {
    EXPECT_FALSE(Call(wrong).ok());
    EXPECT_FALSE(PathExists(Directory("x")));
  }
}

TEST_F(WeightCommandsTest, NoFileIsOverwrittenNotEvenTheOneRead) {
  const std::string peft = QSWEEP_SOURCE_DIR "/tests/golden/peft";
  ASSERT_TRUE(Call({"quantize", JoinPath(peft, "base.safetensors"), Directory("q")}).ok());
  const std::string before = ReadFile(Directory("q"), 1 << 20).value();
  for (const std::vector<std::string>& over :
       {std::vector<std::string>{"quantize", JoinPath(peft, "base.safetensors"), Directory("q")},
        {"dequantize", Directory("q"), Directory("q")},
        {"merge", Directory("q"), peft, Directory("q")}}) {
    EXPECT_THAT(std::string(Call(over).status().message()), HasSubstr("is there already"));
  }
  EXPECT_EQ(ReadFile(Directory("q"), 1 << 20).value(), before);
}

// Beyond float16's range, and beyond float32's.
TEST_F(WeightCommandsTest, WeightsThatAreNotFiniteAreNotWritten) {
  const std::string peft = QSWEEP_SOURCE_DIR "/tests/golden/peft";
  TensorFile large = *ReadTensorFile(JoinPath(peft, "base.safetensors"));
  for (auto& [name, tensor] : large.tensors) tensor = tensor * 1e8;
  ASSERT_TRUE(WriteTensorFile(Directory("large"), large).ok());
  TensorFile adapter = *ReadTensorFile(JoinPath(peft, kAdapterFile));
  for (auto& [name, tensor] : adapter.tensors) tensor = tensor * 1e30;
  const std::string to = directory_.Sub("adapter");
  ASSERT_TRUE(WriteTensorFile(JoinPath(to, kAdapterFile), adapter).ok());
  const auto config = ReadFile(JoinPath(peft, kAdapterConfigFile), 1 << 20);
  ASSERT_TRUE(WriteFileAtomic(JoinPath(to, kAdapterConfigFile), config.value_or("")).ok());

  ASSERT_TRUE(Call({"quantize", Directory("large"), Directory("q")}).ok());
  for (const std::vector<std::string>& overflowing :
       {std::vector<std::string>{"dequantize", Directory("q"), Directory("x"), "--dtype",
                                 "float16"},
        {"merge", JoinPath(peft, "base.safetensors"), to, Directory("x")}}) {
    EXPECT_THAT(std::string(Call(overflowing).status().message()),
                HasSubstr(".weight: not finite"));
    EXPECT_FALSE(PathExists(Directory("x")));
  }
  EXPECT_TRUE(Call({"dequantize", Directory("q"), Directory("x"), "--dtype", "bfloat16"}).ok());
}

// Nor may a command that writes a file leave a part of it.
TEST_F(WeightCommandsTest, AFileThatMayNotGrowLeavesNothing) {
  const std::string base = QSWEEP_SOURCE_DIR "/tests/golden/peft/base.safetensors";
  const std::string out = JoinPath(directory_.Sub("limited"), "out");
  const ExitStatus exit =
      Wait(Start("limit", {"/bin/sh", "-c", "ulimit -f 1; exec \"$0\" \"$@\"", kProgram, "merge",
                           base, QSWEEP_SOURCE_DIR "/tests/golden/peft", out}));
  EXPECT_EQ(exit.exit_code, kExitFailed);
  EXPECT_THAT(*ListDirectory(JoinPath(directory_.path(), "limited")), testing::IsEmpty());
}

}  // namespace
}  // namespace qsweep::engine
