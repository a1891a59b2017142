#include "common/spec/sweep_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/spec/spec.h"

namespace qsweep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kBase[] = "model: {name: deit_tiny_patch16_224}\ndataset: {name: cifar10}\n";

SweepPlan Plan(const std::string& yaml) {
  auto plan = ParseSweep(yaml, "a.yaml");
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : SweepPlan{};
}

std::string ErrorOf(const std::string& yaml) {
  const auto plan = ParseSweep(yaml, "a.yaml");
  return plan.ok() ? "none" : std::string(plan.status().message());
}

std::vector<std::string> Names(const SweepPlan& plan) {
  std::vector<std::string> names;
  for (const auto& cell : plan.cells) names.push_back(cell.name);
  return names;
}

TEST(SweepFile, TheStudysOwnFileLoadsAsItStands) {
  const SweepPlan plan = Plan(R"(
model: {name: deit_tiny_patch16_224, source: timm, pretrained: true}
dataset: {name: cifar10, batch_size: 32, image_size: 224}
lora: {rank: 8, alpha: 16.0, dropout: 0.1}
training: {learning_rate: 1e-4, num_epochs: 15, use_mixed_precision: true, early_stopping_patience: 5}
quantization: {bits: 8, compute_dtype: float16, quant_type: nf4, double_quant: false}
seed: 42
)");
  EXPECT_EQ(plan.name, "a");
  ASSERT_THAT(plan.cells, SizeIs(1));
  EXPECT_EQ(plan.cells[0].name, "deit_tiny_patch16_224-cifar10-r8-int8-s42");
  EXPECT_EQ(plan.cells[0].spec.training().learning_rate(), 1e-4);
  EXPECT_EQ(plan.cells[0].spec.lora().alpha(), 16);
  EXPECT_EQ(plan.cells[0].spec.quantization().compute_dtype(), "float16");
  EXPECT_EQ(plan.cells[0].key, RunKey(plan.cells[0].spec));
}

TEST(SweepFile, EveryConfigLoads) {
  const std::string directory = absl::StrCat(QSWEEP_SOURCE_DIR, "/configs");
  const auto names = ListDirectory(directory);
  ASSERT_TRUE(names.ok());
  int loaded = 0;
  for (const std::string& name : *names) {
    if (!absl::EndsWith(name, ".yaml")) continue;
    const auto plan = LoadSweepFile(JoinPath(directory, name));
    EXPECT_TRUE(plan.ok()) << plan.status();
    ++loaded;
  }
  EXPECT_GE(loaded, 1);
}

TEST(SweepFile, TheQuantizationStudyIs144Runs) {
  const auto plan =
      LoadSweepFile(absl::StrCat(QSWEEP_SOURCE_DIR, "/configs/quantization-study.yaml"));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_THAT(plan->cells, SizeIs(144));
  std::set<std::string> names, keys;
  for (const auto& cell : plan->cells) {
    names.insert(cell.name);
    keys.insert(cell.key);
    EXPECT_EQ(cell.spec.lora().alpha(), 2 * cell.spec.lora().rank());
  }
  EXPECT_THAT(names, SizeIs(144));
  EXPECT_THAT(keys, SizeIs(144));
  EXPECT_EQ(plan->cells.front().name, "deit_tiny_patch16_224-cifar10-r4-none-s42");
  EXPECT_EQ(plan->cells.back().name, "deit_small_patch16_224-cifar100-r16-nf4dq-s44");
}

TEST(SweepFile, TheFirstAxisIsTheSlowest) {
  const SweepPlan plan = Plan(absl::StrCat(kBase, R"(
name: grid
priority: -5
matrix:
  quantization: [{bits: 0}, {bits: 4, double_quant: true}]
  lora.rank: [4, 8]
)"));
  EXPECT_EQ(plan.name, "grid");
  EXPECT_EQ(plan.priority, -5);
  EXPECT_THAT(Names(plan), ElementsAre("deit_tiny_patch16_224-cifar10-r4-none-s42",
                                       "deit_tiny_patch16_224-cifar10-r8-none-s42",
                                       "deit_tiny_patch16_224-cifar10-r4-nf4dq-s42",
                                       "deit_tiny_patch16_224-cifar10-r8-nf4dq-s42"));
}

TEST(SweepFile, NamesSayMoreOnlyWhereTheyMust) {
  EXPECT_THAT(Names(Plan(absl::StrCat(kBase, R"(
matrix:
  training.method: [full, linear_probe]
  training.learning_rate: [0.001, 0.01]
)"))),
              ElementsAre("deit_tiny_patch16_224-cifar10-full-none-lr0.001-s42",
                          "deit_tiny_patch16_224-cifar10-full-none-lr0.01-s42",
                          "deit_tiny_patch16_224-cifar10-probe-none-lr0.001-s42",
                          "deit_tiny_patch16_224-cifar10-probe-none-lr0.01-s42"));
  // Alpha follows the rank, which the name shows.
  EXPECT_THAT(Names(Plan(absl::StrCat(
                  kBase, "matrix: {lora: [{rank: 4, alpha: 8}, {rank: 2, alpha: 4}]}"))),
              ElementsAre("deit_tiny_patch16_224-cifar10-r4-none-s42",
                          "deit_tiny_patch16_224-cifar10-r2-none-s42"));
  // Lists, empty ones too; and values that no file name should hold.
  const auto names = Names(Plan(absl::StrCat(kBase, R"(
matrix:
  dataset.augmentation: [[], [horizontal_flip, padded_crop]]
  model.weights: [a.safetensors, some/where/b.safetensors]
)")));
  EXPECT_EQ(names[0],
            "deit_tiny_patch16_224-cifar10-r8-none-weights_a.safetensors-augmentation_none-s42");
  EXPECT_THAT(names[3], HasSubstr("-augmentation_horizontal_flip+padded_crop-"));
  EXPECT_THAT(names[3], ::testing::Not(HasSubstr("/")));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 4u);
}

TEST(SweepFile, PairsAreMappings) {
  const SweepPlan plan = Plan(absl::StrCat(kBase, R"(
lora: {target_modules: [qkv, fc1], rank_pattern: {qkv: 4, blocks.0.mlp.fc1: 16}}
matrix:
  quantization:
    - {bits: auto}
    - {bits: 4, overrides: {fc2: int8, blocks.0.*.*: none}}
)"));
  ASSERT_THAT(plan.cells, SizeIs(2));
  const v1::ExperimentSpec& spec = plan.cells[1].spec;
  EXPECT_THAT(spec.lora().rank_pattern(), ElementsAre("qkv=4", "blocks.0.mlp.fc1=16"));
  EXPECT_THAT(spec.quantization().overrides(), ElementsAre("fc2=int8", "blocks.0.*.*=none"));
  EXPECT_EQ(plan.cells[0].spec.quantization().bits(), -1);
  EXPECT_EQ(plan.cells[0].name, "deit_tiny_patch16_224-cifar10-r8-auto-5b-s42");
  EXPECT_EQ(ErrorOf(absl::StrCat(kBase, "lora: {rank_pattern: {qkv: [4]}}")),
            "a.yaml:3: lora.rank_pattern: must give each pattern a single value");
  EXPECT_EQ(
      ErrorOf(absl::StrCat(kBase, "quantization: {bits: 4, overrides: {fc2: int4}}")),
      "a.yaml:3: quantization.overrides: must give 'fc2' one of none, int8, fp4, nf4, nf4_ln, "
      "not 'int4'; did you mean int8?");
}

TEST(SweepFile, ExcludeDropsAndIncludeAdds) {
  const SweepPlan plan = Plan(absl::StrCat(kBase, R"(
matrix:
  lora.rank: [4, 8]
  seed: [1, 2]
exclude:
  - {lora.rank: 4, seed: 2}
include:
  - {lora: {rank: 32, alpha: 64}, seed: 9}
)"));
  EXPECT_THAT(Names(plan), ElementsAre("deit_tiny_patch16_224-cifar10-r4-none-s1",
                                       "deit_tiny_patch16_224-cifar10-r8-none-s1",
                                       "deit_tiny_patch16_224-cifar10-r8-none-s2",
                                       "deit_tiny_patch16_224-cifar10-r32-none-s9"));
  EXPECT_EQ(plan.cells[3].spec.lora().alpha(), 64);
  // Without a matrix only what is included.
  EXPECT_THAT(Plan(absl::StrCat(kBase, "include: [{seed: 1}, {seed: 2}]")).cells, SizeIs(2));
}

TEST(SweepFile, SaysAllThatIsWrongWithFileLinePathAndRemedy) {
  EXPECT_EQ(
      ErrorOf(R"(name: 7
prioritty: 3
model: {nmae: deit_tiny_patch16_224, pretrained: yes}
dataset:
  name: cifar
  batch_size: "32"
lora:
  rnak: 8
  rank: 0
  target_modules: qkv
rank: 8
quantization: {bits: 8, double_quant: true, skip_modules: []}
training: {learning_rate: fast, seed: 1}
loar.rank: 8
seed: 1.5
dataset.image_size:
)"),
      R"(a.yaml:1: name: must be 1 to 100 letters, digits, '.', '_' and '-', not digits alone and no '.' first
a.yaml:2: prioritty: unknown key; did you mean priority?
a.yaml:3: model.nmae: unknown key; did you mean name?
a.yaml:3: model.pretrained: must be true or false, not 'yes'
a.yaml:5: dataset.name: must be one of cifar10, cifar100, fashion_mnist, imagefolder; not 'cifar'; did you mean cifar10?
a.yaml:6: dataset.batch_size: must not be in quotes: '32' is text
a.yaml:8: lora.rnak: unknown key; did you mean rank?
a.yaml:9: lora.rank: must be at least 1 and at most 4096; not 0
a.yaml:10: lora.target_modules: must be a list; write [qkv]
a.yaml:11: rank: unknown key; did you mean lora.rank?
a.yaml:12: quantization.skip_modules: must not be empty; remove the key for the default, head,patch_embed.proj
a.yaml:12: quantization.double_quant: needs bits: 4, for only the scales of 4-bit blocks are quantized again; here bits is 8
a.yaml:13: training.learning_rate: must be a number, not 'fast'
a.yaml:13: training.seed: unknown key; did you mean seed?
a.yaml:14: loar.rank: unknown key; did you mean lora.rank?
a.yaml:15: seed: must be a whole number, not '1.5'
a.yaml:16: dataset.image_size: has no value; write one, or remove the key for the default)");
}

TEST(SweepFile, AProblemOfManyCellsIsToldOnceAtTheAxisThatMakesIt) {
  EXPECT_EQ(
      ErrorOf(absl::StrCat(kBase, R"(quantization: {double_quant: true}
matrix:
  seed: [1, 2, 3]
  quantization:
    - {bits: 4}
    - {bits: 8}
)")),
      // The spec alone (bits 0) is wrong on line 3 in another way; 8 bits come from line 8.
      "a.yaml:8: quantization.double_quant: needs bits: 4, for only the scales of 4-bit blocks are "
      "quantized again; here bits is 8 (in 3 cells, first "
      "deit_tiny_patch16_224-cifar10-r8-int8-s1)");
  EXPECT_EQ(
      ErrorOf(absl::StrCat(
          kBase, "matrix:\n  seed: [1, 2]\n  dataset.image_size:\n    - 224\n    - 100\n")),
      "a.yaml:7: dataset.image_size: 100 is not a multiple of the patch of deit_tiny_patch16_224, "
      "16; 96 and 112 are (in 2 cells, first deit_tiny_patch16_224-cifar10-r8-none-px100-s1)");
  EXPECT_EQ(
      ErrorOf("dataset: {name: cifar10}\nmatrix: {seed: [1, 2]}"),
      "a.yaml:2: model.name: missing; it has no default (in 2 cells, first -cifar10-r8-none-s1)");
}

TEST(SweepFile, RefusesDuplicateCells) {
  EXPECT_EQ(ErrorOf(absl::StrCat(
                kBase, "matrix:\n  lora.rank:\n    - 4\n    - 8\n    - 4\n  seed: [1, 2]\n")),
            "a.yaml:7: cells 1 (lora.rank=4 seed=1) and 5 (lora.rank=4 seed=1) are the same run, "
            "deit_tiny_patch16_224-cifar10-r4-none-s1, as are 1 pairs more; remove one");
  // Written differently, the same experiment: 8 bits have no quant_type.
  EXPECT_THAT(
      ErrorOf(
          absl::StrCat(kBase, "matrix: {quantization: [{bits: 8}, {bits: 8, quant_type: fp4}]}")),
      HasSubstr(
          "cells 1 (quantization.bits=8) and 2 (quantization.bits=8 quantization.quant_type=fp4) "
          "are the same run"));
}

TEST(SweepFile, RefusesWhatCannotBeMeant) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"matrix: {lora.rnak: [4]}", "matrix.lora.rnak: unknown key; did you mean rank?"},
      {"matrix: {lora: {rank: [4, 8]}}",
       "matrix.lora: must be a list of alternatives; for one field write lora.FIELD: [...]"},
      {"matrix: {lora.rank: 4}", "matrix.lora.rank: must be a list of alternatives"},
      {"matrix: {lora.rank: []}", "matrix.lora.rank: must be a list of alternatives"},
      {"matrix: {lora.rank: [4, 0]}", "lora.rank: must be at least 1"},
      {"matrix: {dataset.classes: [1, 2]}", "dataset.classes: must be a list; write [1]"},
      {"matrix: {lora.rank: [4], lora: [{rank: 8}]}",
       "lora.rank: is set by the axis lora.rank of line 3 too"},
      {"matrix: []", "matrix: must be a mapping of axes"},
      {"exclude: [{lora.rank: 5}]", "exclude: lora.rank=5 matches no cell"},
      {"exclude: [{lora.rank: 8}]", "exclude: drops every cell"},
      {"exclude: [{}]", "exclude: would drop every cell"},
      {"include: {seed: 1}", "include: must be a list of mappings"},
      {"include: [3]", "include: must be a mapping"},
      {"lora.rank: 4\nlora: {rank: 4}", "lora.rank: already given on line 3; remove one"},
      {"seed: 1\nseed: 2", "key 'seed' is there twice"},
      {"lora: 8", "lora: must be a mapping of its fields"},
      {"training: {num_epochs: [1, 2]}",
       "training.num_epochs: must be a single value; to vary it, put it under matrix"},
      {"training.epochs: 3", "training.epochs: unknown key; did you mean num_epochs?"},
      {"training.speed: 3", "training.speed: unknown key; known: method, "},
      {"training:\n\tnum_epochs: 1", "a.yaml:4: not YAML: a tab; indent with spaces"},
      {"training:\n  num_epochs: 1\n seed: 1", "check its indentation"},
      {"priority: 1001", "priority: must be a whole number from -1000 to 1000"},
      {"? [a]\n: 1", "a key must be a plain name"},
      {"--- {}", "a second document"},
  };
  for (const auto& [yaml, message] : cases) {
    EXPECT_THAT(ErrorOf(absl::StrCat(kBase, yaml)), HasSubstr(message)) << yaml;
  }
}

TEST(SweepFile, NamesItselfAfterItsFile) {
  const auto name = [](const std::string& file) { return ParseSweep(kBase, file)->name; };
  EXPECT_EQ(name("configs/my study.v2.yaml"), "my-study.v2");
  EXPECT_EQ(name("2024.yaml"), "sweep-2024");
  EXPECT_EQ(name(""), "sweep-");
}

TEST(SweepFile, HundredThousandCellsAndNoMore) {
  std::string seeds = "0";
  for (int i = 1; i < 1000; ++i) absl::StrAppend(&seeds, ",", i);
  const auto yaml = [&seeds](int ranks) {
    std::string list = "1";
    for (int r = 2; r <= ranks; ++r) absl::StrAppend(&list, ",", r);
    return absl::StrCat(kBase, "matrix:\n  lora.rank: [", list, "]\n  seed: [", seeds, "]\n");
  };
  EXPECT_THAT(Plan(yaml(100)).cells, SizeIs(100'000));
  EXPECT_EQ(ErrorOf(yaml(101)),
            "a.yaml:5: matrix.seed: with this axis there are 101000 cells or more; at most 100000 "
            "are allowed");
}

// What somebody else's file, or a broken disk, may hold: an error, soon, whatever it is.
TEST(SweepFile, HostileInputIsRefused) {
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c <= 'p'; ++c) {
    const std::string alias = absl::StrCat("*", std::string(1, c - 1));
    absl::StrAppend(&bomb, std::string(1, c), ": &", std::string(1, c), " [",
                    absl::StrJoin(std::vector<std::string>(9, alias), ","), "]\n");
  }
  EXPECT_THAT(ErrorOf(bomb), HasSubstr("more than 1000000 values"));
  EXPECT_THAT(ErrorOf("a: &a [*a]"), HasSubstr("nested deeper"));
  EXPECT_THAT(ErrorOf(std::string(100'000, '[')), HasSubstr("nested deeper"));
  EXPECT_THAT(ErrorOf(std::string(2 << 20, '#')), HasSubstr("larger than 1048576 bytes"));
  EXPECT_THAT(ErrorOf("\xff\xfe\x00"), HasSubstr("not UTF-8"));
  EXPECT_THAT(ErrorOf(std::string("seed: 1\0", 8)), HasSubstr("not UTF-8"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("empty"));
  EXPECT_THAT(ErrorOf("- 1"), HasSubstr("a list"));
  EXPECT_THAT(ErrorOf("seed: [1"), HasSubstr("a.yaml:1: not YAML"));
  EXPECT_THAT(ErrorOf(absl::StrCat(kBase, "lora: {rank: ", std::string(900'000, '9'), "}")),
              HasSubstr("lora.rank: must be a whole number of 32 bits, not '999"));
  EXPECT_THAT(ErrorOf(absl::StrCat(kBase, std::string(1000, 'k'), ": 1")),
              HasSubstr("unknown key"));
  EXPECT_THAT(ErrorOf(absl::StrCat(kBase, "model.weights: ", std::string(5000, 'w'))),
              HasSubstr("longer than 4096"));
  for (const std::string unit :
       {"[", "{", "- ", "? ", "a: {", "&a ", "!!x ", "*", "'", "\"", "|\n", "%", "[],", "a: [\n"}) {
    std::string text;
    while (text.size() + unit.size() < 100'000) text += unit;
    EXPECT_NE(ErrorOf(text), "none") << unit;
  }
}

// Seeded, so a failure can be had again: bytes of a good file changed, dropped, repeated.
TEST(SweepFile, MutatedFilesNeverCrash) {
  const auto good =
      ReadFile(absl::StrCat(QSWEEP_SOURCE_DIR, "/configs/quantization-study.yaml"), 1 << 20);
  ASSERT_TRUE(good.ok());
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string text = *good;
    for (unsigned edits = random() % 8 + 1; edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          text.erase(at, random() % 20);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
          break;
        default:
          text[at] = "[]{}:,-*&!|>'\"#?% \n\t"[random() % 20];
      }
    }
    const auto plan = ParseSweep(text, "a.yaml");
    if (plan.ok()) continue;
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StartsWith(plan.status().message(), "a.yaml:")) << plan.status();
  }
}

}  // namespace
}  // namespace qsweep
