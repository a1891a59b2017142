#include "common/spec/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/spec/sweep_file.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

TEST(Names, OfSweepsAndRuns) {
  EXPECT_TRUE(IsSweepName("2024-study_v1.b"));
  for (const char* name : {"", "12", ".hidden", "a+b", "a b", "a/b", "a\x1b"}) {
    EXPECT_FALSE(IsSweepName(name)) << name;
  }
  EXPECT_FALSE(IsSweepName(std::string(101, 'x')));
  EXPECT_TRUE(IsName("vit-target_modules_qkv+fc1-s1"));
  EXPECT_FALSE(IsName(std::string(201, 'x')));
}

constexpr char kBase[] = R"(
model.name: deit_tiny_patch16_224
dataset.name: cifar10
)";

TEST(Names, OfAllCellsOfASoundFileAreTaken) {
  const auto plan = ParseSweep(
      absl::StrCat(kBase, "matrix:\n  lora.target_modules: [[qkv], [qkv, proj], [fc1, fc2]]\n"),
      "lists.yaml");
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const SweepPlan::Cell& cell : plan->cells) EXPECT_TRUE(IsName(cell.name)) << cell.name;
}

TEST(Names, TooLongForARunIsSaidBeforeItIsSubmitted) {
  std::string axes = "matrix:\n  training.warmup_steps: [100, 101]\n";
  for (const char* field :
       {"training.learning_rate", "training.weight_decay", "training.max_grad_norm",
        "training.label_smoothing", "lora.dropout", "lora.alpha"}) {
    absl::StrAppend(&axes, "  ", field, ": [0.12345678901234561, 0.12345678901234567]\n");
  }
  const auto plan = ParseSweep(absl::StrCat(kBase, axes), "long.yaml");
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("200 are the most"));
}

}  // namespace
}  // namespace qsweep
