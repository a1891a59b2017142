#include "analysis/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "analysis/findings.h"
#include "analysis/json.h"
#include "analysis/numbers.h"
#include "analysis/report_fixture.h"
#include "analysis/testing.h"
#include "common/file.h"

namespace qsweep {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const char kSchemas[] = QSWEEP_SOURCE_DIR "/docs/schemas/";

// The part of JSON Schema that JsonSchema() uses. Returns what is wrong, with its place.
std::string Violation(const json& schema, const json& value, const json& definitions,
                      const std::string& place) {
  if (schema.contains("$ref")) {
    const std::string name = schema["$ref"].get<std::string>().substr(8);  // #/$defs/
    return Violation(definitions.at(name), value, definitions, place);
  }
  const auto is = [&value](const std::string& type) {
    return type == "object"    ? value.is_object()
           : type == "array"   ? value.is_array()
           : type == "string"  ? value.is_string()
           : type == "boolean" ? value.is_boolean()
           : type == "integer" ? value.is_number_integer()
           : type == "number"  ? value.is_number()
                               : value.is_null();
  };
  bool right = false;
  const json types = schema["type"].is_array() ? schema["type"] : json::array({schema["type"]});
  for (const std::string type : types) right |= is(type);
  if (!right) return place + ": wrong type";
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      const std::string wrong =
          Violation(schema["items"], value[i], definitions, absl::StrCat(place, "[", i, "]"));
      if (!wrong.empty()) return wrong;
    }
  }
  if (!value.is_object()) return "";
  for (const std::string name : schema["required"]) {
    if (!value.contains(name)) return absl::StrCat(place, ".", name, ": missing");
  }
  for (const auto& [name, member] : value.items()) {
    if (!schema["properties"].contains(name)) return absl::StrCat(place, ".", name, ": unknown");
    const std::string wrong =
        Violation(schema["properties"][name], member, definitions, absl::StrCat(place, ".", name));
    if (!wrong.empty()) return wrong;
  }
  return "";
}

struct NamedSchema {
  std::string name;
  const google::protobuf::Descriptor* type;
};
std::vector<NamedSchema> Schemas() {
  return {{"quantization_experiments_summary", v1::ExperimentsSummary::descriptor()},
          {"quantization_detailed_analysis", v1::DetailedAnalysis::descriptor()},
          {"config", v1::ExperimentSpec::descriptor()},
          {"results", v1::ResultsFile::descriptor()},
          {"quantization_analysis", v1::QuantizationFile::descriptor()},
          {"error", v1::ErrorFile::descriptor()}};
}

TEST_F(ReportTest, SchemasAreThoseOfTheMessages) {
  for (const NamedSchema& schema : Schemas()) {
    const std::string path = absl::StrCat(kSchemas, schema.name, ".schema.json");
    const std::string text = testing::JsonSchema(*schema.type, schema.name + ".json");
    if (std::getenv("QSWEEP_WRITE_SCHEMAS") != nullptr) {
      ASSERT_TRUE(WriteFileAtomic(path, text).ok());
    }
    EXPECT_EQ(ReadFile(path, 1 << 20).value_or(""), text)
        << path << " is out of date: QSWEEP_WRITE_SCHEMAS=1 analysis_report_test writes it";
  }
}

TEST_F(ReportTest, FilesFollowTheirSchemas) {
  ASSERT_TRUE(Write(testing::MakeUnfinishedSweep()).ok());
  int checked = 0;
  for (const auto& entry : fs::recursive_directory_iterator(Out())) {
    if (entry.path().extension() != ".json") continue;
    const std::string name = entry.path().stem();
    const json schema =
        json::parse(ReadFile(absl::StrCat(kSchemas, name, ".schema.json"), 1 << 20).value_or("{}"));
    ASSERT_TRUE(schema.contains("$defs")) << name << " has no schema";
    const json value = json::parse(ReadFile(entry.path(), 1 << 26).value_or(""));
    EXPECT_EQ(Violation(schema, value, schema["$defs"], name), "") << entry.path();
    ++checked;
  }
  EXPECT_EQ(checked, 2 + 6 * 3 + 1 * 2 + 1);  // of the sweep; succeeded, failed, pending runs
}

TEST_F(ReportTest, MissingCellsAreNamedAndNotAveraged) {
  ASSERT_TRUE(Write(testing::MakeUnfinishedSweep()).ok());
  const json summary = Json("quantization_experiments_summary.json");
  EXPECT_EQ(summary["runs"]["succeeded"], 6);
  EXPECT_EQ(summary["runs"]["failed"], 1);
  EXPECT_EQ(summary["runs"]["pending"], 1);
  ASSERT_EQ(summary["missing"].size(), 2u);
  EXPECT_THAT(summary["missing"][1]["error"].get<std::string>(), HasSubstr("the loss is nan"));
  EXPECT_THAT(Text("report.html"), HasSubstr("<a href=\"#missing\">"));
  EXPECT_THAT(summary["findings"][0].get<std::string>(), HasSubstr("6 of 8 runs have a result"));
  const json& last = summary["groups"][3];  // nf4+dq: one failed, one pending
  EXPECT_EQ(last["quantization"], "nf4+dq");
  EXPECT_EQ(last["planned"], 2);
  EXPECT_EQ(last["top1"]["n"], 0);
  EXPECT_EQ(summary["comparisons"][2]["result"]["difference"]["n"], 0);
  const std::string failed = "deit_tiny_patch16_224-cifar10-r8-nf4dq-s2";
  EXPECT_EQ(Json(failed + "/error.json")["blame"], "config");
  EXPECT_FALSE(PathExists(Out(failed + "/results.json")));
  EXPECT_TRUE(PathExists(Out("logs/" + failed + ".log")));
}

TEST_F(ReportTest, ARunsFilesSayWhatWasMeasured) {
  ASSERT_TRUE(Write(testing::MakeSweep({8}, 2, 20)).ok());
  const json results = Json("deit_tiny_patch16_224-cifar10-r8-nf4-s1/results.json");
  EXPECT_EQ(results["best"]["confusion"].size(), 100u);
  EXPECT_EQ(results["lora"]["scaling"], 2.0);
  EXPECT_EQ(results["curves"][5]["name"], "loss");
  EXPECT_EQ(results["curves"][5]["values"].size(), 20u);
  EXPECT_EQ(results["convergence"]["evaluations"]["epochs_to_1_percent"], 3);
  EXPECT_EQ(results["merged"]["images"], 1000);
  EXPECT_EQ(results["requantized"]["images"], 1000);
  const json file = Json("deit_tiny_patch16_224-cifar10-r8-nf4-s1/quantization_analysis.json");
  EXPECT_EQ(file["memory"]["expected_bits_per_weight"], 4.5);
  EXPECT_EQ(file["verification"]["worst_layer"], "blocks.11.attn.qkv");
  EXPECT_EQ(file["twin"]["run"], "deit_tiny_patch16_224-cifar10-r8-none-s1");
  EXPECT_EQ(file["gradient_flow"]["layers"].size(), 2u);
  EXPECT_FALSE(
      Json("deit_tiny_patch16_224-cifar10-r8-none-s1/quantization_analysis.json").contains("twin"));
  EXPECT_EQ(Json("quantization_detailed_analysis.json")["effects"][0]["requantized_difference"], 0);
  EXPECT_THAT(Text("report.html"), HasSubstr("<dt>merged</dt><dd>top-1 "));
  EXPECT_THAT(Text("report.html"), HasSubstr(" MB in fp32; not quantized"));
}

TEST_F(ReportTest, ATwinComputedInAnotherWayGivesNoRatioOfPeaks) {
  testing::TestSweep test = testing::MakeSweep({8}, 1, 20);
  test.records[2].detail.mutable_result()->mutable_memory()->set_micro_batch(4);  // nf4
  ASSERT_TRUE(Write(test).ok());
  const json twin =
      Json("deit_tiny_patch16_224-cifar10-r8-nf4-s1/quantization_analysis.json")["twin"];
  EXPECT_TRUE(twin.contains("best_top1_difference"));
  EXPECT_FALSE(twin.contains("peak_bytes_ratio"));
  EXPECT_FALSE(twin.contains("images_per_s_ratio"));
  EXPECT_THAT(twin["note"].get<std::string>(), HasSubstr("micro-batch 4"));
  EXPECT_TRUE(
      Json("deit_tiny_patch16_224-cifar10-r8-int8-s1/quantization_analysis.json")["twin"].contains(
          "peak_bytes_ratio"));
}

TEST_F(ReportTest, WhatIsTrainedIsPartOfTheWhole) {
  testing::TestSweep test = testing::MakeSweep({8}, 1, 20);
  for (RunRecord& record : test.records) {
    record.detail.mutable_result()->set_trainable_parameters(8'400'000);  // of a base of 5.6 M
  }
  ASSERT_TRUE(Write(test).ok());
  const json file = Json("deit_tiny_patch16_224-cifar10-r8-nf4-s1/results.json");
  EXPECT_EQ(file["parameters"]["total"], 14'000'000);
  EXPECT_DOUBLE_EQ(file["parameters"]["trainable_share"].get<double>(), 0.6);
  EXPECT_THAT(Text("report.html"), HasSubstr("8400000 trained of 14000000 (60.00 %)"));
}

TEST_F(ReportTest, EachFamilyOfComparisonsHasATableOfItsOwn) {
  ASSERT_TRUE(Write(testing::MakeSweep({4, 8}, 3, 20)).ok());
  EXPECT_THAT(Text("tables/comparisons.tex"), ::testing::Not(HasSubstr("r4 ")));
  EXPECT_THAT(Text("tables/comparisons_by_adapter.tex"), HasSubstr("r4 "));
  EXPECT_THAT(Text("results.tex"), HasSubstr("a family of its own"));
  EXPECT_THAT(Text("report.html"), HasSubstr("a family of its own"));
}

v1::ExperimentsSummary SummaryOf(int comparisons) {
  v1::ExperimentsSummary summary;
  for (const char* label : {"r4 none", "r8 none", "r8 nf4"}) {
    v1::GroupSummary& group = *summary.add_groups();
    group.set_label(label);
    group.mutable_top1()->set_n(2);
    group.mutable_top1()->set_mean(group.label() == "r8 nf4" ? 0.8 : 0.9);
    group.set_weights_bytes(group.label() == "r8 nf4" ? 1e6 : 4e6);
  }
  for (int i = 0; i < comparisons; ++i) summary.add_comparisons();
  return summary;
}

TEST(FindingsTest, TiesAreNamedAndWhatIsLeftOutIsCounted) {
  const std::vector<std::string> findings = Findings(SummaryOf(14));
  EXPECT_THAT(findings[1], HasSubstr("(r4 none; r8 none)"));
  EXPECT_THAT(findings[2], HasSubstr("Smallest is r8 nf4:"));
  EXPECT_THAT(findings, ::testing::Contains("And 2 more comparisons, in the table."));
  EXPECT_THAT(Findings(SummaryOf(12)), ::testing::Not(::testing::Contains(HasSubstr("more comp"))));
}

TEST(NumbersTest, HaveOneFormEverywhere) {
  EXPECT_EQ(SignedNumber(-0.001, 2), "+0.00");
  EXPECT_EQ(SignedNumber(-0.42, 2), "-0.42");
  EXPECT_EQ(SignedNumber(0.42, 1), "+0.4");
  EXPECT_EQ(FixedNumber(-0.001, 2), "0.00");
  EXPECT_EQ(PNumber(0.0123), "0.012");
  EXPECT_EQ(PNumber(0.0009), "< 0.001");
}

TEST_F(ReportTest, WhatPlusMinusMeansStandsBesideIt) {
  ASSERT_TRUE(Write(testing::MakeSweep({8}, 2, 20)).ok());
  EXPECT_THAT(Text("report.html"), HasSubstr("<th>top-1 % ± CI95<th>"));
  EXPECT_THAT(Text("tables/results.tex"), HasSubstr("Top-1 (\\%) $\\pm$ CI &"));
  EXPECT_THAT(Json("quantization_experiments_summary.json")["findings"][3].get<std::string>(),
              ::testing::ContainsRegex("± [0-9.]+ points \\(95 % CI\\) against"));
}

TEST_F(ReportTest, WhatAllRunsShareIsSaid) {
  ASSERT_TRUE(Write(testing::MakeSweep({4, 8}, 2, 20)).ok());
  EXPECT_THAT(Text("report.html"), HasSubstr("<td>Training images<td class=\"w\">50000\n"));
  EXPECT_THAT(Text("report.html"), HasSubstr("<td>Evaluation images<td class=\"w\">1000\n"));
  EXPECT_THAT(Text("report.html"), ::testing::Not(HasSubstr("LoRA rank")));  // 4 and 8
  EXPECT_THAT(Text("tables/setting.tex"), HasSubstr("LoRA modules & [qkv] \\\\\n"));
}

TEST_F(ReportTest, PublishedNumbersHaveTheirSourcesDigits) {
  ASSERT_TRUE(Write(testing::MakeSweep({8}, 1, 5)).ok());
  EXPECT_THAT(Text("report.html"), HasSubstr("<td>62.0<"));
  EXPECT_THAT(Text("tables/literature.tex"), HasSubstr("W4A4 57.43"));
}

TEST_F(ReportTest, SectionsWithoutDataAreLeftOut) {
  testing::TestSweep test = testing::MakeSweep({8}, 1, 5);
  test.records.resize(1);  // not quantized
  ASSERT_TRUE(Write(test).ok());
  EXPECT_THAT(Text("report.html"), ::testing::Not(HasSubstr("#comparisons")));
  EXPECT_THAT(Text("report.html"), ::testing::Not(HasSubstr("<h2>What quantizing did")));
  EXPECT_THAT(Text("report.html"), ::testing::Not(HasSubstr("#effects")));
  EXPECT_THAT(Text("results.tex"), ::testing::Not(HasSubstr("tab:comparisons")));
}

TEST_F(ReportTest, AnExpectationSaysWhatItsIntervalIs) {
  ASSERT_TRUE(Write(testing::MakeSweep({4, 8}, 3, 20)).ok());
  const json expectations = Json("quantization_experiments_summary.json")["expectations"];
  const auto reason = [&expectations](const std::string& claim) {
    for (const json& e : expectations) {
      if (absl::StartsWith(e["claim"].get<std::string>(), claim))
        return e["reason"].get<std::string>();
    }
    return std::string("not claimed");
  };
  EXPECT_EQ(reason("4-bit with double quantization takes 60 to 85 % less memory (weights"),
            "the whole spread of the groups is in the range");
  EXPECT_EQ(reason("8-bit costs less than 2 points"), "the whole 95 % interval is in the range");
}

TEST_F(ReportTest, ASensitivityRunIsShownAndComparedWithNothing) {
  testing::TestSweep test = testing::MakeSweep({8}, 2, 20);
  ASSERT_TRUE(Write(test).ok());
  const json before = Json("quantization_experiments_summary.json");
  testing::AddSensitivityRun(&test);
  ASSERT_TRUE(Write(test).ok());
  const json after = Json("quantization_experiments_summary.json");
  EXPECT_EQ(after["runs"]["succeeded"], 9);
  for (const char* part : {"groups", "comparisons", "expectations"}) {
    EXPECT_EQ(after[part], before[part]) << part;
  }
  const json details = Json("quantization_detailed_analysis.json");
  EXPECT_EQ(details["effects"].size(), 3u);
  const json& layers = details["layers"];
  const auto fc2 = std::find_if(layers.begin(), layers.end(), [](const json& layer) {
    return layer["layer"] == "blocks.11.mlp.fc2" && layer["quantization"] == "int8";
  });
  ASSERT_NE(fc2, layers.end());
  EXPECT_DOUBLE_EQ((*fc2)["loss_change"].get<double>(), 12e-4);
  EXPECT_EQ((*fc2)["runs"], 3);  // two trained on it
  EXPECT_THAT(Text("report.html"), HasSubstr("blocks.11.mlp.fc2 in nf4: loss +0.1200"));
}

// Two block sizes are two quantizations, though both are called nf4.
TEST_F(ReportTest, WhatOneLabelCallsTheSameIsKeptApart) {
  testing::TestSweep test = testing::MakeSweep({8}, 2, 20);
  for (RunRecord& record : test.records) {
    v1::Quantization& quantization = *record.detail.mutable_spec()->mutable_quantization();
    if (!quantization.double_quant()) continue;
    quantization.set_double_quant(false);
    quantization.set_blocksize(128);
  }
  ASSERT_TRUE(Write(test).ok());
  std::vector<std::string> scopes;
  const json summary = Json("quantization_experiments_summary.json");
  for (const json& e : summary["expectations"]) {
    if (e["claim"] == "4-bit costs 2 to 5 points of top-1") scopes.push_back(e["scope"]);
  }
  EXPECT_THAT(scopes, UnorderedElementsAre(HasSubstr("nf4 (blocksize=64)"),
                                           HasSubstr("nf4 (blocksize=128)")));
  std::set<std::string> layers, blocks;
  const json details = Json("quantization_detailed_analysis.json");
  for (const json& layer : details["layers"]) layers.insert(layer["quantization"]);
  for (const json& block : details["gradients"]) blocks.insert(block["quantization"]);
  EXPECT_THAT(layers, ::testing::IsSupersetOf({"nf4 (blocksize=64)", "nf4 (blocksize=128)"}));
  EXPECT_THAT(blocks, ::testing::IsSupersetOf({"nf4 (blocksize=64)", "nf4 (blocksize=128)"}));
}

TEST_F(ReportTest, AMixtureHasNoExpectationAndAMarginOfFourBits) {
  testing::TestSweep test = testing::MakeSweep({8}, 2, 20);
  for (RunRecord& record : test.records) {
    v1::Quantization& quantization = *record.detail.mutable_spec()->mutable_quantization();
    if (quantization.bits() == 8) {  // int8 becomes: some layers int8, the others not quantized
      quantization.set_bits(0);
      quantization.add_overrides("mlp=8");
    } else if (quantization.double_quant()) {
      quantization.set_bits(-1);
      quantization.set_bits_budget(5);
    }
  }
  ASSERT_TRUE(Write(test).ok());
  const json summary = Json("quantization_experiments_summary.json");
  ASSERT_EQ(summary["comparisons"].size(), 3u);
  EXPECT_EQ(summary["comparisons"][0]["quantization"], "mixed");
  EXPECT_EQ(summary["comparisons"][0]["margin"], 0.05);
  EXPECT_EQ(summary["comparisons"][2]["quantization"], "auto-5b");
  for (const json& expectation : summary["expectations"]) {
    EXPECT_THAT(expectation["scope"].get<std::string>(), HasSubstr("nf4"));
  }
  const json effects = Json("quantization_detailed_analysis.json")["effects"];
  ASSERT_EQ(effects.size(), 3u);
  EXPECT_EQ(effects[0]["expected_bits_per_weight"], 0);  // unknown: it depends on the layers' sizes
  EXPECT_FALSE(effects[0].contains("memory_efficiency"));
  EXPECT_EQ(effects[2]["expected_bits_per_weight"], 5);  // the budget
}

TEST(PlainJsonTest, NumbersAreNumbersAndTextIsSafe) {
  v1::Curve curve;
  curve.set_name("a\"\\\n</script>");
  curve.add_steps(int64_t{1} << 60);
  curve.add_values(0.1);
  curve.add_values(std::nan(""));
  const std::string text = PlainJsonLine(curve);
  EXPECT_THAT(text, HasSubstr("[1152921504606846976]"));
  EXPECT_THAT(text, HasSubstr("[0.1,null]"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("<")));
  EXPECT_EQ(json::parse(text)["name"], "a\"\\\n</script>");
  EXPECT_EQ(json::parse(PlainJson(curve)), json::parse(text));
}

}  // namespace
}  // namespace qsweep
