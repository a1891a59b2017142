#include "common/spec/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/quant/codes.h"
#include "common/quant/scheme.h"
#include "common/spec/fields.h"
#include "common/spec/kind.h"
#include "common/spec/pairs.h"

namespace qsweep {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

v1::ExperimentSpec Study() {
  v1::ExperimentSpec spec = DefaultSpec();
  spec.mutable_model()->set_name("deit_tiny_patch16_224");
  spec.mutable_dataset()->set_name("cifar10");
  return spec;
}

std::string AllProblems(const v1::ExperimentSpec& spec) {
  return absl::StrJoin(Problems(spec), "\n", [](std::string* out, const SpecProblem& p) {
    absl::StrAppend(out, p.path, ": ", p.message);
  });
}

TEST(DefaultSpec, SetsWhatTheRulesSay) {
  const v1::ExperimentSpec& spec = DefaultSpec();
  EXPECT_EQ(spec.lora().rank(), 8);
  EXPECT_EQ(spec.training().learning_rate(), 1e-4);
  EXPECT_THAT(spec.quantization().skip_modules(), ElementsAre("head", "patch_embed.proj"));
  EXPECT_TRUE(spec.model().pretrained());
  EXPECT_FALSE(spec.model().has_name());
  EXPECT_EQ(spec.seed(), 42);
}

TEST(SpecFields, HaveAMeaningEach) {
  for (const SpecField& field : SpecFields()) EXPECT_NE(field.rule->meaning(), "") << field.path;
}

// What a file in common/quant/schemes/ does, and all it has to do.
const RegisterScheme registered({"of_a_test", "of_a_test", kNf4Values, &Nf4Code, &AbsMax});

TEST(Problems, ASchemeIsKnownOnceItRegistersItself) {
  v1::ExperimentSpec spec = Study();
  spec.mutable_quantization()->set_bits(4);
  spec.mutable_quantization()->set_quant_type("of_a_test");
  spec.mutable_quantization()->add_overrides("fc1=of_a_test");
  EXPECT_EQ(AllProblems(spec), "");
  spec.mutable_quantization()->set_quant_type("of_no_file");
  EXPECT_THAT(AllProblems(spec), StartsWith("quantization.quant_type: must be one of fp4, nf4, "));
}

TEST(Problems, NoneForTheStudy) { EXPECT_EQ(AllProblems(Study()), ""); }

TEST(Problems, WhatIsRequired) {
  EXPECT_EQ(AllProblems(DefaultSpec()),
            "model.name: missing; it has no default\ndataset.name: missing; it has no default");
}

// One edit of a good spec, as JSON to merge, and how the only problem must begin.
struct BadCase {
  std::string json;
  std::string problem;
};
void PrintTo(const BadCase& c, std::ostream* os) { *os << c.json; }

class BadSpec : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadSpec, HasOneProblem) {
  v1::ExperimentSpec spec = Study();
  v1::ExperimentSpec edit;
  ASSERT_TRUE(FromJson(GetParam().json, &edit).ok());
  if (edit.lora().target_modules_size() > 0) spec.mutable_lora()->clear_target_modules();
  if (edit.quantization().skip_modules_size() > 0) {
    spec.mutable_quantization()->clear_skip_modules();
  }
  spec.MergeFrom(edit);
  ASSERT_EQ(Problems(spec).size(), 1u) << AllProblems(spec);
  EXPECT_THAT(AllProblems(spec), StartsWith(GetParam().problem));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadSpec,
    ::testing::Values(
        BadCase{R"({"lora":{"rank":0}})", "lora.rank: must be at least 1 and at most 4096; not 0"},
        BadCase{R"({"lora":{"alpha":0}})", "lora.alpha: must be above 0 and"},
        BadCase{R"({"lora":{"alpha":"NaN"}})", "lora.alpha: must be above 0"},
        BadCase{R"({"lora":{"dropout":1}})", "lora.dropout: must be at least 0 and at most 0.95"},
        BadCase{R"({"seed":-1})", "seed: must be at least 0 and at most 4294967295; not -1"},
        BadCase{R"({"quantization":{"bits":5}})",
                "quantization.bits: must be one of 0, 4, 8, auto; not '5'"},
        BadCase{
            R"({"training":{"lr_scheduler":"cosin"}})",
            "training.lr_scheduler: must be one of cosine, linear, constant; not 'cosin'; did you "
            "mean cosine?"},
        BadCase{R"({"model":{"weights":"a\nb"}})", "model.weights: has control characters"},
        BadCase{R"({"dataset":{"augmentation":["padded_crop","padded_crop"]}})",
                "dataset.augmentation: names 'padded_crop' twice"}));

INSTANTIATE_TEST_SUITE_P(
    Combinations, BadSpec,
    ::testing::Values(
        BadCase{R"({"model":{"name":"deit_tiny"}})",
                "model.name: unknown model 'deit_tiny'; did you mean deit_tiny_patch16_224?"},
        BadCase{R"({"model":{"name":"resnet50"}})",
                "model.name: unknown model 'resnet50'; known: deit_"},
        BadCase{R"({"model":{"name":"vit_mini_patch4_28"}})", "model.weights: needed"},
        BadCase{R"({"model":{"pretrained":false,"weights":"x"}})", "model.weights: has no effect"},
        BadCase{R"({"model":{"weights":"run:sweep"}})", "model.weights: must be run:SWEEP/RUN"},
        BadCase{
            R"({"dataset":{"image_size":225}})",
            "dataset.image_size: 225 is not a multiple of the patch of deit_tiny_patch16_224, 16; "
            "224 and 240 are"},
        BadCase{R"({"dataset":{"classes":[0,10]}})", "dataset.classes: label 10 does not exist"},
        BadCase{R"({"dataset":{"classes":[3]}})", "dataset.classes: names one class"},
        BadCase{R"({"lora":{"rank":193}})", "lora.rank: 193 is above 192"},
        BadCase{R"({"lora":{"target_modules":["qkv","fc3"]}})",
                "lora.target_modules: 'fc3' matches no module"},
        BadCase{R"({"lora":{"target_modules":["(qkv"]}})",
                "lora.target_modules: '(qkv' is no regular expression: missing )"},
        BadCase{R"({"lora":{"target_modules":["head"]}})",
                "lora.target_modules: 'head' matches no"},
        BadCase{R"({"quantization":{"bits":8,"double_quant":true}})",
                "quantization.double_quant: needs bits: 4"},
        BadCase{R"({"quantization":{"double_quant":true}})",
                "quantization.double_quant: needs bits: 4"},
        BadCase{R"({"quantization":{"bits":4,"skip_modules":["heads"]}})",
                "quantization.skip_modules: 'heads' matches no module"},
        BadCase{R"({"quantization":{"bits":4,"skip_modules":["blocks.*.*.*"]}})",
                "quantization.skip_modules: leaves no module"},
        BadCase{R"({"quantization":{"bits":4,"skip_modules":["proj","fc1","fc2"]},
                    "lora":{"target_modules":["fc1"],"modules_to_save":["qkv"]}})",
                "quantization.skip_modules: leaves no module to quantize"},
        BadCase{R"({"quantization":{"skip_modules":["all-linear"]},
                    "training":{"method":"sensitivity"}})",
                "quantization.skip_modules: leaves no module to measure"},
        BadCase{
            R"({"quantization":{"skip_modules":["nosuch"]},"training":{"method":"sensitivity"}})",
            "quantization.skip_modules: 'nosuch' matches no module"},
        BadCase{R"({"quantization":{"overrides":["nosuch=none"]}})",
                "quantization.overrides: 'nosuch' matches no module"},
        BadCase{R"({"quantization":{"bits":4,"skip_modules":["qkv"]},
                    "lora":{"init_lora_weights":"loftq"}})",
                "lora.init_lora_weights: loftq begins"},
        BadCase{R"({"quantization":{"bits":4,"skip_modules":["qkv"]},"lora":{"dropout":0},
                    "training":{"quantization_aware":true}})",
                "training.quantization_aware: needs quantization.bits for what is adapted"},
        BadCase{R"({"quantization":{"bits":4},"training":{"method":"full"}})",
                "quantization.bits: must be 0 with training.method: full"},
        BadCase{R"({"lora":{"rank_pattern":["qkv"]}})",
                "lora.rank_pattern: must be PATTERN=VALUE, or a mapping {PATTERN: VALUE}"},
        BadCase{R"({"lora":{"rank_pattern":["=4"]}})",
                "lora.rank_pattern: must be PATTERN=VALUE, or a mapping {PATTERN: VALUE}"},
        BadCase{R"({"lora":{"rank_pattern":["fc1=4"]}})",
                "lora.rank_pattern: 'fc1' matches no module; there are those of"},
        BadCase{R"({"lora":{"rank_pattern":["qkv=0"]}})",
                "lora.rank_pattern: must give 'qkv' a whole number above 0, not '0'"},
        BadCase{R"({"lora":{"rank_pattern":["qkv=193"]}})", "lora.rank_pattern: 193 is above 192"},
        BadCase{R"({"lora":{"alpha_pattern":["qkv=inf"]}})",
                "lora.alpha_pattern: must give 'qkv' a number above 0, not 'inf'"},
        BadCase{R"({"lora":{"modules_to_save":["norm3"]}})",
                "lora.modules_to_save: 'norm3' matches no module"},
        BadCase{R"({"lora":{"modules_to_save":["blocks.0.attn.qkv"]}})",
                "lora.modules_to_save: blocks.0.attn.qkv is in lora.target_modules too"},
        BadCase{R"({"lora":{"init_lora_weights":"loftq"}})",
                "lora.init_lora_weights: loftq begins"},
        BadCase{R"({"quantization":{"overrides":["fc1=nf5"]}})",
                "quantization.overrides: must give 'fc1' one of none, int8, fp4"},
        BadCase{R"({"quantization":{"bits":4,"overrides":["head=int8"]}})",
                "quantization.overrides: 'head' matches no module"},
        BadCase{R"({"quantization":{"bits":-1},"model":{"pretrained":false}})",
                "quantization.bits: auto measures trained weights"},
        BadCase{R"({"quantization":{"bits":4},"lora":{"dropout":0.1},
                    "training":{"quantization_aware":true}})",
                "lora.dropout: must be 0 with training.quantization_aware"},
        BadCase{R"({"lora":{"dropout":0},"training":{"quantization_aware":true}})",
                "training.quantization_aware: needs quantization.bits"},
        BadCase{R"({"training":{"method":"full","quantization_aware":true}})",
                "training.quantization_aware: needs training.method: lora"},
        BadCase{R"({"training":{"method":"sensitivity"},"quantization":{"bits":-1}})",
                "quantization.bits: not with training.method: sensitivity"},
        BadCase{R"({"training":{"method":"sensitivity"},"model":{"pretrained":false}})",
                "model.pretrained: must be true with training.method: sensitivity"},
        BadCase{R"({"dataset":{"name":"imagefolder"}})", "dataset.path: missing"},
        BadCase{R"({"dataset":{"name":"imagefolder","path":"/data/flowers"}})",
                "dataset.path: must be the name of a directory in the data root"},
        BadCase{R"({"dataset":{"path":"flowers"}})", "dataset.path: has no effect"},
        // 100 images in batches of 32, the last one of 4: 4 steps an epoch.
        BadCase{R"({"dataset":{"train_limit":100},"training":{"num_epochs":2,"warmup_steps":8}})",
                "training.warmup_steps: 8 are not fewer than the 8 steps"}));

TEST(Problems, AllAtOnce) {
  v1::ExperimentSpec spec = Study();
  spec.mutable_lora()->set_rank(0);
  spec.mutable_lora()->set_alpha(-1);
  spec.mutable_quantization()->set_double_quant(true);
  spec.mutable_dataset()->set_image_size(100);
  EXPECT_EQ(Problems(spec).size(), 4u) << AllProblems(spec);
}

TEST(Problems, NoneForWhatModulesMayHaveOfTheirOwn) {
  v1::ExperimentSpec spec = Study();
  spec.mutable_lora()->clear_target_modules();
  spec.mutable_lora()->add_target_modules("all-linear");
  spec.mutable_lora()->add_rank_pattern("blocks.*.mlp.fc1=16");
  spec.mutable_lora()->add_alpha_pattern("fc1=2.5");
  spec.mutable_lora()->add_modules_to_save("norm");
  spec.mutable_quantization()->add_overrides("fc1=int8");
  spec.mutable_quantization()->add_overrides("blocks.11.*.*=none");
  spec.mutable_quantization()->set_bits(-1);
  spec.mutable_quantization()->set_double_quant(true);
  EXPECT_EQ(AllProblems(spec), "");
}

// Pairs: the first pattern that matches counts, skips come before overrides.
TEST(Pairs, GiveModulesTheirOwn) {
  v1::Lora lora = DefaultSpec().lora();
  lora.add_rank_pattern("blocks.0.attn.qkv=2");
  lora.add_rank_pattern("qkv=4");
  lora.add_alpha_pattern("fc1=2.5");
  EXPECT_EQ(RankOf("blocks.0.attn.qkv", lora), 2);
  EXPECT_EQ(RankOf("blocks.1.attn.qkv", lora), 4);
  EXPECT_EQ(RankOf("blocks.1.mlp.fc1", lora), 8);
  EXPECT_EQ(AlphaOf("blocks.1.mlp.fc1", lora), 2.5);

  v1::Quantization quantization = DefaultSpec().quantization();
  quantization.set_bits(4);
  quantization.set_double_quant(true);
  quantization.add_overrides("proj=int8");
  quantization.add_overrides("blocks.0.*.*=none");
  const auto type = [&](const char* module) {
    return QuantTypeName(QuantizationOf(module, quantization));
  };
  EXPECT_EQ(type("blocks.0.attn.proj"), "int8");
  EXPECT_EQ(type("blocks.0.attn.qkv"), "none");
  EXPECT_EQ(type("blocks.1.attn.qkv"), "nf4");
  EXPECT_EQ(type("patch_embed.proj"), "none");
  EXPECT_FALSE(QuantizationOf("blocks.0.attn.proj", quantization).double_quant());
  EXPECT_TRUE(QuantizationOf("blocks.1.attn.qkv", quantization).double_quant());
}

v1::ExperimentSpec Quantized(const std::string& json) {
  v1::ExperimentSpec spec = Study(), edit;
  EXPECT_TRUE(FromJson(json, edit.mutable_quantization()).ok());
  spec.MergeFrom(edit);
  return spec;
}

TEST(QuantizationLabel, NamesEveryKind) {
  const auto label = [](const char* json) {
    return QuantizationLabel(Quantized(json).quantization());
  };
  EXPECT_EQ(label(R"({"bits":0,"double_quant":true})"), "none");
  EXPECT_EQ(label(R"({"bits":0,"overrides":["qkv=none"]})"), "none");
  EXPECT_EQ(label(R"({"bits":8,"double_quant":true})"), "int8");
  EXPECT_EQ(label(R"({"bits":8,"int8_compute":"dynamic"})"), "int8+dyn");
  EXPECT_EQ(label(R"({"bits":4})"), "nf4");
  EXPECT_EQ(label(R"({"bits":4,"quant_type":"fp4","double_quant":true})"), "fp4+dq");
  EXPECT_EQ(label(R"({"bits":0,"overrides":["qkv=int8"]})"), "mixed");
  EXPECT_EQ(label(R"({"bits":-1,"bits_budget":5.5})"), "auto-5.5b");
}

// What one run measures predicts others of its kind: they have to need the same.
TEST(RunKind, SaysWhatAMachineNotices) {
  const auto kind = [](const char* json) { return RunKind(Quantized(json)); };
  EXPECT_EQ(kind(R"({"bits":4,"double_quant":true})"),
            "deit_tiny_patch16_224/224/lora/nf4+dq/bfloat16/cifar10");
  const std::string mixed = kind(R"({"bits":4,"overrides":["fc1=int8"]})");
  EXPECT_THAT(mixed, StartsWith("deit_tiny_patch16_224/224/lora/mixed-"));
  EXPECT_EQ(kind(R"({"bits":4,"overrides":["fc1=int8"]})"), mixed);
  EXPECT_NE(kind(R"({"bits":4,"overrides":["fc2=int8"]})"), mixed);
  EXPECT_NE(kind(R"({"bits":8,"overrides":["fc1=int8"]})"), mixed);
  EXPECT_NE(kind(R"({"bits":-1,"bits_budget":5})"), kind(R"({"bits":-1,"bits_budget":6})"));
  v1::ExperimentSpec exact = Study();
  exact.mutable_training()->set_use_mixed_precision(false);
  EXPECT_EQ(RunKind(exact), "deit_tiny_patch16_224/224/lora/none/float32/cifar10");
}

TEST(CanonicalJson, LeavesDefaultsOutAndKeepsTheOrderOfTheProto) {
  EXPECT_EQ(
      CanonicalJson(Study()),
      R"({"model":{"name":"deit_tiny_patch16_224"},"dataset":{"name":"cifar10","image_size":224}})");
  v1::ExperimentSpec spec = Study();
  spec.set_seed(1);
  spec.mutable_lora()->set_alpha(0.1);
  spec.mutable_dataset()->add_classes(7);
  spec.mutable_dataset()->add_classes(3);
  spec.mutable_model()->set_weights(R"(a"\b)");
  EXPECT_EQ(CanonicalJson(spec), R"({"model":{"name":"deit_tiny_patch16_224","weights":"a\"\\b"},)"
                                 R"("dataset":{"name":"cifar10","image_size":224,"classes":[7,3]},)"
                                 R"("lora":{"alpha":0.1},"seed":1})");
}

TEST(CanonicalJson, DoublesReadBackExactly) {
  for (const double rate : {0.1 + 0.2, 1.0 / 3, 1e-300, 5e-324, 99.99999999999999}) {
    v1::ExperimentSpec spec = Study();
    spec.mutable_training()->set_learning_rate(rate);
    const auto back = ParseSpecJson(CanonicalJson(spec));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->training().learning_rate(), rate);
    EXPECT_EQ(CanonicalJson(*back), CanonicalJson(spec));
  }
}

// The keys of results that are already stored: a change here loses them all.
TEST(RunKey, IsStable) {
  EXPECT_EQ(RunKey(Study()), Sha256Hex(R"({"model":{"name":"deit_tiny_patch16_224"},)"
                                       R"("dataset":{"name":"cifar10","image_size":224}})"));
}

TEST(RunKey, EqualExperimentsHaveEqualKeys) {
  const std::string key = RunKey(Study());
  const auto key_with = [](const std::string& json) {
    v1::ExperimentSpec spec = Study(), edit;
    EXPECT_TRUE(FromJson(json, &edit).ok());
    spec.MergeFrom(edit);
    return RunKey(spec);
  };
  EXPECT_EQ(key_with(R"({"dataset":{"image_size":224}})"), key);
  EXPECT_EQ(key_with(R"({"dataset":{"classes":[0,1,2,3,4,5,6,7,8,9]}})"), key);
  EXPECT_EQ(key_with(R"({"quantization":{"quant_type":"fp4","blocksize":128}})"), key);
  EXPECT_EQ(key_with(R"({"model":{"weights":""}})"), key);
  EXPECT_NE(key_with(R"({"dataset":{"classes":[1,0,2,3,4,5,6,7,8,9]}})"), key);
  EXPECT_NE(key_with(R"({"dataset":{"image_size":240}})"), key);
  EXPECT_NE(key_with(R"({"seed":43})"), key);
  EXPECT_NE(key_with(R"({"quantization":{"bits":4,"blocksize":128}})"),
            key_with(R"({"quantization":{"bits":4}})"));
  EXPECT_EQ(key_with(R"({"training":{"method":"linear_probe"},"lora":{"rank":4}})"),
            key_with(R"({"training":{"method":"linear_probe"}})"));
  EXPECT_EQ(
      key_with(R"({"training":{"use_mixed_precision":false}})"),
      key_with(
          R"({"training":{"use_mixed_precision":false},"quantization":{"compute_dtype":"float16"}})"));

  v1::ExperimentSpec terse;  // without its defaults
  terse.mutable_model()->set_name("deit_tiny_patch16_224");
  terse.mutable_dataset()->set_name("cifar10");
  EXPECT_EQ(RunKey(terse), key);
}

TEST(ParseSpecJson, FillsDefaultsAndNormalizes) {
  const auto spec =
      ParseSpecJson(R"({"model":{"name":"deit_tiny_patch16_224"},"dataset":{"name":"cifar10"},)"
                    R"("lora":{"target_modules":["fc1"]},"seed":"7"})");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->dataset().image_size(), 224);
  EXPECT_EQ(spec->lora().rank(), 8);
  EXPECT_THAT(spec->lora().target_modules(), ElementsAre("fc1"));  // replaces the default list
  EXPECT_EQ(spec->seed(), 7);
}

TEST(ParseSpecJson, SaysEverythingThatIsWrong) {
  const auto spec =
      ParseSpecJson(R"({"model":{"name":"deit_tiny_patch16_224"},"lora":{"rank":0}})");
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.status().message(),
            "dataset.name: missing; it has no default\n"
            "lora.rank: must be at least 1 and at most 4096; not 0");
  EXPECT_FALSE(ParseSpecJson("").ok());
  EXPECT_FALSE(ParseSpecJson(R"({"lora":{"rnak":1}})").ok());
  EXPECT_FALSE(ParseSpecJson(std::string(2 << 20, ' ')).ok());
}

TEST(ReadStoredSpec, ReadsWhatIsNotAllowedAnyMore) {
  const auto spec = ReadStoredSpec(R"({"model":{"name":"vit_of_old"},"lora":{"rank":0}})");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->model().name(), "vit_of_old");
  EXPECT_EQ(spec->lora().rank(), 0);
  EXPECT_EQ(spec->training().method(), DefaultSpec().training().method());
  EXPECT_FALSE(ReadStoredSpec("").ok());
}

}  // namespace
}  // namespace qsweep
