#include "analysis/exports/exports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "analysis/escape.h"
#include "analysis/testing.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/testing/temporary_directory.h"
#include "qsweep/v1/tensorboard.pb.h"

namespace qsweep {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ExportsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test_ = testing::MakeUnfinishedSweep();
    for (RunRecord& record : test_.records) {
      record.detail.mutable_run()->set_started_unix_us(1'700'000'000'000'000);
    }
    test_.records[0].detail.mutable_run()->set_name("=cmd|'/C calc'!A0,\"x\"");
  }

  absl::Status Export(ExportFormat format) {
    return WriteExport(test_.sweep, test_.Runs(), test_.Reader(), format, directory_.Path("out"));
  }
  std::string Text(const std::string& name) const {
    return ReadFile(JoinPath(directory_.Path("out"), name), 1 << 26).value_or("");
  }
  // Hash over all files and their names.
  std::string Fingerprint() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(directory_.Path("out"))) {
      if (entry.is_regular_file()) names.push_back(entry.path());
    }
    std::sort(names.begin(), names.end());
    Sha256 hash;
    for (const std::string& name : names) hash.Update(name + ReadFile(name, 1 << 26).value_or(""));
    return hash.Hex();
  }

  const TemporaryDirectory directory_;
  testing::TestSweep test_;
};

TEST_F(ExportsTest, TheSameDataGivesTheSameBytes) {
  for (const ExportFormat format : {ExportFormat::kCsv, ExportFormat::kJsonLines,
                                    ExportFormat::kTensorBoard, ExportFormat::kMlflow}) {
    ASSERT_TRUE(Export(format).ok());
    const std::string first = Fingerprint();
    ASSERT_TRUE(Export(format).ok());
    EXPECT_EQ(Fingerprint(), first);
  }
}

TEST_F(ExportsTest, CsvHasALineForEachRunAndPoint) {
  ASSERT_TRUE(Export(ExportFormat::kCsv).ok());
  const std::vector<std::string> runs = absl::StrSplit(Text("runs.csv"), "\r\n");
  ASSERT_EQ(runs.size(), 1 + 8 + 1u);  // header, runs, nothing behind the last line break
  EXPECT_THAT(runs[0], StartsWith("run,id,state,error,quantization,spec.model.name,"));
  EXPECT_THAT(runs[0], HasSubstr(",result.best.top1,"));
  EXPECT_THAT(runs[1], StartsWith("\"'=cmd|'/C calc'!A0,\"\"x\"\"\",1,succeeded,,none,"));
  EXPECT_THAT(runs[8], HasSubstr(",8,failed,step 3: the loss is nan,nf4+dq,"));
  const std::vector<std::string> points = absl::StrSplit(Text("metrics.csv"), "\r\n");
  EXPECT_EQ(points.size(), 1 + 6 * (2 * 5 + 4 * 20) + 1u);
}

TEST_F(ExportsTest, JsonLinesAreJson) {
  ASSERT_TRUE(Export(ExportFormat::kJsonLines).ok());
  int runs = 0, points = 0;
  for (const absl::string_view line : absl::StrSplit(Text("runs.jsonl"), '\n', absl::SkipEmpty())) {
    EXPECT_EQ(nlohmann::json::parse(line)["run"]["id"], ++runs);
  }
  EXPECT_EQ(runs, 8);
  for (const absl::string_view line :
       absl::StrSplit(Text("metrics.jsonl"), '\n', absl::SkipEmpty())) {
    points += nlohmann::json::parse(line).at("value").is_number();
  }
  EXPECT_EQ(points, 6 * (2 * 5 + 4 * 20));
}

// CRC-32C bit by bit, from its definition.
uint32_t SlowCrc32c(absl::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
  }
  return ~crc;
}

TEST_F(ExportsTest, TensorBoardRecordsAreWhole) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);  // the check value of the catalogue of CRCs
  ASSERT_TRUE(Export(ExportFormat::kTensorBoard).ok());
  const std::string bytes =
      Text("deit_tiny_patch16_224-cifar10-r8-nf4-s1/events.out.tfevents.1700000000.qsweep");
  const auto masked = [](absl::string_view part) {
    const uint32_t crc = SlowCrc32c(part);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  };
  std::vector<v1::TensorBoardEvent> events;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length = 0;
    uint32_t length_crc = 0, data_crc = 0;
    ASSERT_LE(at + 12, bytes.size());
    std::memcpy(&length, &bytes[at], 8);
    std::memcpy(&length_crc, &bytes[at + 8], 4);
    EXPECT_EQ(length_crc, masked(absl::string_view(bytes).substr(at, 8)));
    ASSERT_LE(at + 16 + length, bytes.size());
    const std::string data = bytes.substr(at + 12, length);
    std::memcpy(&data_crc, &bytes[at + 12 + length], 4);
    EXPECT_EQ(data_crc, masked(data));
    ASSERT_TRUE(events.emplace_back().ParseFromString(data));
    at += 16 + length;
  }
  ASSERT_EQ(events.size(), 1 + 20u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].step(), 10);
  EXPECT_EQ(events[1].summary().value_size(), 6);
  EXPECT_EQ(events[20].summary().value(3).tag(), "loss");
}

TEST_F(ExportsTest, TensorBoardKeepsZeros) {
  test_.records[4].curves.back().set_values(0, 0);
  ASSERT_TRUE(Export(ExportFormat::kTensorBoard).ok());
  // Field 2, 32 bits, of a value: TensorBoard does not show a value without it.
  EXPECT_THAT(Text(absl::StrCat(PathName(test_.records[4].detail.run().name()),
                                "/events.out.tfevents.1700000000.qsweep")),
              HasSubstr(std::string("\n\x04loss\x15\0\0\0\0", 11)));
}

// A result that a run does not have is no zero.
TEST_F(ExportsTest, AbsentValuesAreEmpty) {
  const auto value = [this](size_t run, const std::string& path) {
    for (const Column& column : RunColumns(test_.records[run].detail)) {
      if (column.path == path) return column.value;
    }
    return std::string("no such column");
  };
  test_.records[0].detail.mutable_result()->mutable_best()->set_loss(0);
  EXPECT_EQ(value(0, "result.merged.top1"), "");  // not quantized
  EXPECT_EQ(value(0, "result.requantized.images"), "");
  EXPECT_EQ(value(0, "result.sensitivity.unquantized.top1"), "");
  EXPECT_EQ(value(0, "result.best.loss"), "0");
  EXPECT_EQ(value(2, "result.merged.images"), "1000");
  EXPECT_EQ(value(7, "result.best.top1"), "");  // failed
}

TEST_F(ExportsTest, AReusedRunHasTheTimeAtWhichItGotItsResult) {
  v1::Run& run = *test_.records[0].detail.mutable_run();
  run.clear_started_unix_us();
  run.set_ended_unix_us(1'800'000'000'000'000);
  ASSERT_TRUE(Export(ExportFormat::kTensorBoard).ok());
  EXPECT_NE(Text(absl::StrCat(PathName(run.name()), "/events.out.tfevents.1800000000.qsweep")), "");
  EXPECT_EQ(TimeOf(run), 1'800'000'000'000'000);
}

TEST_F(ExportsTest, MlflowHasFilesAndNoClashes) {
  ASSERT_TRUE(Export(ExportFormat::kMlflow).ok());
  const auto experiments = ListDirectory(directory_.Path("out"));
  ASSERT_TRUE(experiments.ok());
  ASSERT_EQ(experiments->size(), 2u);
  const std::string experiment =
      (*experiments)[0] == "MANIFEST" ? (*experiments)[1] : (*experiments)[0];
  EXPECT_THAT(Text(experiment + "/meta.yaml"), HasSubstr("name: \"study (sweep 1)\""));
  int finished = 0, failed = 0;
  for (const auto& entry : fs::directory_iterator(JoinPath(directory_.Path("out"), experiment))) {
    if (!entry.is_directory()) continue;
    const std::string run = absl::StrCat(experiment, "/", entry.path().filename().string());
    const std::string meta = Text(run + "/meta.yaml");
    failed += meta.find("status: 4") != std::string::npos;
    if (meta.find("status: 3") == std::string::npos) continue;
    ++finished;
    EXPECT_THAT(Text(run + "/metrics/loss"), StartsWith("1700000000000 "));
    EXPECT_EQ(Text(run + "/params/lora.rank"), "8");
    EXPECT_NE(Text(run + "/metrics/gradient_norm/all"), "");  // beside gradient_norm/blocks.0/mean
    EXPECT_NE(Text(run + "/metrics/gradient_norm/blocks.0/mean"), "");
  }
  EXPECT_EQ(finished, 6);
  EXPECT_EQ(failed, 1);
}

TEST(EscapeTest, EachLanguage) {
  EXPECT_EQ(HtmlText("<a href=\"x\">'&\n"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp; ");
  EXPECT_EQ(LatexText("50 % of $x_1 & y^2 ~ {a}\\b#"),
            "50 \\% of \\$x\\_1 \\& y\\textasciicircum{}2 \\textasciitilde{} "
            "\\{a\\}\\textbackslash{}b\\#");
  EXPECT_EQ(LatexText("α ± 日\x01"), "$\\alpha$ $\\pm$ U+65E5 ");
  EXPECT_EQ(LatexText("größe ĸ"), "größe U+0138");
  EXPECT_EQ(LatexText("a--b"), "a{-}{-}b");
  EXPECT_EQ(LatexName("r8 nf4+dq"), "REightNfFourDq");
  EXPECT_EQ(CsvField("plain"), "plain");
  EXPECT_EQ(CsvField("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
  EXPECT_EQ(CsvField("=1+1"), "'=1+1");
  EXPECT_EQ(CsvField("-0.5"), "-0.5");
  EXPECT_EQ(CsvField("-x"), "'-x");
}

}  // namespace
}  // namespace qsweep
