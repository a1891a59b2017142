// Real runs of what else a spec can ask for: sensitivity, bits: auto, training for quantization,
// other adapters, mixed images, pictures on disk; each in this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/spec/models.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/model/peft_adapter.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/sensitivity.h"
#include "worker/engine/train/testing.h"
#include "worker/engine/train/trainer.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

class VariantTest : public TrainingTest {
 protected:
  // The result.
  v1::RunResult Finish(const v1::ExperimentSpec& spec, const std::string& name,
                       const std::string& resume = "") {
    const std::vector<v1::Event> events = TrainingTest::Finish(spec, name, resume);
    return events.empty() ? v1::RunResult() : events.back().finished().result();
  }
  std::string Adapter(const std::string& name) { return Bytes(name, kAdapterFile); }
  static void TearDownTestSuite() { base_.reset(); }
  // The runs that follow begin from a model that knows something: trained in full, once.
  void UseBase() {
    if (base_ == nullptr) {
      const v1::ExperimentSpec spec = MiniSpec(
          R"({"training": {"method": "full", "num_epochs": 2, "learning_rate": 0.001},
              "quantization": {"bits": 0, "double_quant": false},
              "dataset": {"train_limit": 640, "eval_limit": 50}})");
      Finish(spec, "base");
      base_ = std::make_unique<TemporaryDirectory>();
      std::filesystem::copy(options_.directory, base_->path());
    }
    options_.weights_file = JoinPath(base_->path(), kModelFile);
  }

 private:
  static inline std::unique_ptr<TemporaryDirectory> base_;
};

// MiniSpec from trained weights.
v1::ExperimentSpec Trained(const std::string& changes) {
  v1::ExperimentSpec spec = MiniSpec(changes);
  spec.mutable_model()->set_pretrained(true);
  spec.mutable_model()->set_weights("given");
  return spec;
}

TEST_F(VariantTest, SensitivityMeasuresEveryLayerInEveryType) {
  UseBase();
  const v1::ExperimentSpec spec = MiniSpec(R"({"model": {"pretrained": true, "weights": "given"},
                   "training": {"method": "sensitivity"}, "quantization": {"bits": 0},
                   "dataset": {"eval_limit": 50}})");
  const v1::RunResult result = Finish(spec, "sensitivity");
  const v1::Sensitivity& sensitivity = result.sensitivity();
  EXPECT_EQ(sensitivity.labels(), "dataset");
  EXPECT_EQ(sensitivity.unquantized().images(), 50);
  EXPECT_GT(sensitivity.unquantized().top1(), 0.2);
  ASSERT_EQ(sensitivity.layers_size(), 48);  // 6 blocks of 4 linears, int8 and nf4
  double int8 = 0, nf4 = 0;
  for (const v1::LayerMeasurement& layer : sensitivity.layers()) {
    EXPECT_GE(layer.divergence(), 0);
    EXPECT_GT(layer.relative_mse(), 0);
    (layer.quant_type() == "int8" ? int8 : nf4) += layer.divergence();
  }
  EXPECT_LT(75 * int8, nf4);  // its relative MSE is some 150 times less
  // The points of each are in the log, as data.
  int points = 0;
  for (const auto& [key, value] : ReproduciblePoints(EventsIn(options_.directory))) {
    points += absl::StartsWith(key.first, "sensitivity/blocks.");
  }
  EXPECT_EQ(points, 4 * 48);
  EXPECT_EQ(Finish(spec, "again").sensitivity().SerializeAsString(),
            sensitivity.SerializeAsString());
}

TEST_F(VariantTest, BitsAutoSpendsItsBudgetOnTheSensitiveLayers) {
  UseBase();
  v1::ExperimentSpec spec = Trained(R"({"dataset": {"train_limit": 80, "eval_limit": 40}})");
  spec.mutable_quantization()->set_bits(-1);
  spec.mutable_quantization()->set_double_quant(false);
  spec.mutable_quantization()->set_bits_budget(5.5);
  const v1::QuantizationFacts facts = Finish(spec, "auto").quantization();
  EXPECT_EQ(facts.layers_quantized(), 24);
  EXPECT_EQ(facts.quant_type(), "mixed");
  EXPECT_LE(facts.bits_per_weight(), 5.5);
  EXPECT_GT(facts.bits_per_weight(), 5.2);  // the least layer is 1/48 of the weights: 0.08 bits
  std::string logs;
  for (const v1::Event& event : EventsIn(options_.directory)) {
    absl::StrAppend(&logs, event.log().text(), "\n");
  }
  EXPECT_THAT(logs, HasSubstr(absl::StrFormat("24 layers in mixed, %.3f bits a weight",
                                              facts.bits_per_weight())));
  // Stopped while it measures, and some steps after that (the model and 24 layers were a batch
  // each) and resumed: the same choice, the same bytes.
  const auto measuring = Run(spec, "measuring", "", 7);
  ASSERT_TRUE(measuring.ok()) << measuring.status();
  EXPECT_EQ(*measuring, TrainOutcome::kStopped);
  const auto stopped = Run(spec, "stopped", "", 25 + 3);
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  Finish(spec, "resumed", LastCheckpoint(options_.directory));
  EXPECT_EQ(Adapter("resumed"), Adapter("auto"));

  spec.mutable_quantization()->set_bits_budget(4.2);
  const absl::Status beyond = Run(spec, "beyond").status();
  EXPECT_EQ(BlameOf(beyond), v1::BLAME_CONFIG);
  EXPECT_THAT(std::string(beyond.message()), HasSubstr("bits_budget"));
}

// The budget is of what will be quantized: not of layers that are trained in full.
TEST_F(VariantTest, BitsAutoLeavesOutWhatIsTrainedInFull) {
  UseBase();
  v1::ExperimentSpec spec = Trained(R"({"lora": {"modules_to_save": ["head", "fc2"]},
      "dataset": {"train_limit": 32, "eval_limit": 16},
      "training": {"num_epochs": 1, "warmup_steps": 0}})");
  v1::Quantization& quantization = *spec.mutable_quantization();
  quantization.set_bits(-1);
  quantization.set_double_quant(false);
  quantization.set_bits_budget(5);
  const v1::QuantizationFacts facts = Finish(spec, "saved").quantization();
  EXPECT_EQ(facts.layers_quantized(), 18);
  EXPECT_LE(facts.bits_per_weight(), 5);
  quantization.add_overrides("fc2=int8");
  quantization.set_bits_budget(4.5);
  EXPECT_EQ(Finish(spec, "override").quantization().bits_per_weight(), 4.5);
}

TEST_F(VariantTest, TrainingForQuantizationKeepsItsAccuracyWhenMerged) {
  UseBase();
  // In fp32: bf16 rounds a merged weight otherwise than the weight and the adapter. fc2, trained in
  // full, stays as it is when the rest is quantized again. What has no adapter is quantized for a
  // second time, which changes nothing but doubly quantized scales.
  const v1::ExperimentSpec exact = Trained(
      R"({"training": {"quantization_aware": true, "use_mixed_precision": false},
          "quantization": {"double_quant": false},
          "lora": {"dropout": 0, "modules_to_save": ["head", "fc2"]}})");
  const v1::RunResult result = Finish(exact, "aware");
  // What it trained is what is deployed, but for a few of 300,000 weights that lie on the border of
  // two codes, where the order of a sum decides; one such step moves the loss by some 1e-6.
  EXPECT_NEAR(result.requantized().loss(), result.best().loss(), 3e-5);
  EXPECT_EQ(result.requantized().top1(), result.best().top1());
  EXPECT_GT(result.merged().images(), 0);

  // Without, merging costs nothing and quantizing again something. Six blocks sum some 600 terms
  // each in either way, which makes 2e-6 of a logit; 100 images' mean loss moves by less.
  v1::ExperimentSpec plain = exact;
  plain.mutable_training()->set_quantization_aware(false);
  const v1::RunResult usual = Finish(plain, "usual");
  EXPECT_NEAR(usual.merged().loss(), usual.best().loss(), 1e-6);
  EXPECT_GT(std::fabs(usual.requantized().loss() - usual.best().loss()), 1e-4);
}

TEST_F(VariantTest, AdaptersOfAllKindsResumeToTheSameBytes) {
  for (const char* changes :
       {R"({"lora": {"init_lora_weights": "pissa", "rank_pattern": ["blocks.0.attn.qkv=2"]}})",
        R"({"lora": {"init_lora_weights": "loftq", "alpha_pattern": ["qkv=3"]}})",
        R"({"quantization": {"bits": 8, "double_quant": false, "int8_compute": "dynamic",
                             "llm_int8_threshold": 3}})",
        R"({"lora": {"modules_to_save": ["head", "norm", "blocks.5.mlp.fc2"]}})",
        R"({"dataset": {"augmentation": ["random_resized_crop", "color_jitter", "random_erasing",
                                         "mixup", "cutmix"]}})"}) {
    SCOPED_TRACE(changes);
    static int number = 0;
    const std::string name = absl::StrCat(++number);
    v1::ExperimentSpec spec = MiniSpec(changes);
    spec.mutable_dataset()->set_train_limit(80);
    spec.mutable_dataset()->set_eval_limit(40);
    const v1::RunResult result = Finish(spec, "whole" + name);
    EXPECT_TRUE(std::isfinite(result.final_train_loss()));
    EXPECT_THAT(result.gradients().dead_adapters(), testing::IsEmpty());
    EXPECT_GT(result.gradients().stability(), 0.1);
    EXPECT_LE(result.gradients().stability(), 1);
    EXPECT_GE(result.convergence().epochs_to_1_percent(), 1);
    EXPECT_TRUE(ReadPeftAdapter(options_.directory).ok());
    const auto stopped = Run(spec, "stopped" + name, "", 3);
    ASSERT_TRUE(stopped.ok()) << stopped.status();
    Finish(spec, "resumed" + name, LastCheckpoint(options_.directory));
    EXPECT_EQ(Adapter("resumed" + name), Adapter("whole" + name));
  }
}

class PicturesTest : public VariantTest {
 protected:
  // Two classes of `count` pictures each in both splits, of the colours that tell them apart.
  void MakeFolder(int count) {
    const std::string golden = QSWEEP_SOURCE_DIR "/tests/golden/pictures/";
    for (const char* split : {"train", "val"}) {
      for (const auto& [label, file] : {std::pair{"bright", "colour.jpg"}, {"dark", "cmyk.jpg"}}) {
        const std::string place =
            JoinPath(directory_.path(), absl::StrCat("data/pictures/", split, "/", label));
        ASSERT_TRUE(MakeDirectories(place).ok());
        for (int i = 0; i < count; ++i) {
          std::filesystem::copy_file(golden + file, absl::StrCat(place, "/", i, ".jpg"));
        }
      }
    }
    options_.data_root = JoinPath(directory_.path(), "data");
  }
  static v1::ExperimentSpec Spec() {
    v1::ExperimentSpec spec = MiniSpec(R"({"dataset": {"name": "imagefolder", "path": "pictures"},
                                           "lora": {"modules_to_save": []}})");
    spec.mutable_dataset()->clear_augmentation();
    spec.mutable_dataset()->add_augmentation("random_resized_crop");
    spec.mutable_dataset()->set_crop_scale(0.5);
    return spec;
  }
};

TEST_F(PicturesTest, AModelLearnsFromPicturesOnDisk) {
  MakeFolder(20);
  const v1::RunResult result = Finish(Spec(), "run");
  EXPECT_EQ(result.best().images(), 40);
  EXPECT_EQ(result.best().confusion_size(), 4);
  EXPECT_EQ(result.best().top1(), 1);  // the two pictures, whatever was cut off in training
}

TEST_F(PicturesTest, AWarmupLongerThanTheRunIsTheConfigsFault) {
  MakeFolder(20);
  v1::ExperimentSpec spec = Spec();
  spec.mutable_training()->set_warmup_steps(6);  // 2 epochs of 40 images in steps of 16
  const absl::Status status = Run(spec, "run").status();
  EXPECT_EQ(BlameOf(status), v1::BLAME_CONFIG) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("6 are not fewer than the 6 steps"));
}

TEST_F(PicturesTest, ARunIsNotContinuedWithOtherPictures) {
  MakeFolder(20);
  ASSERT_TRUE(Run(Spec(), "begun", "", 2).ok());
  const std::string checkpoint = LastCheckpoint(options_.directory);
  const std::string dark = JoinPath(options_.data_root, "pictures/val/dark");
  std::filesystem::copy_file(dark + "/0.jpg", dark + "/20.jpg");
  const absl::Status status = Run(Spec(), "other", checkpoint).status();
  EXPECT_EQ(BlameOf(status), v1::BLAME_MACHINE) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the images here are not those"));
}

TEST_F(PicturesTest, ADamagedPictureIsNamedAndTheMachinesFault) {
  MakeFolder(20);
  const std::string bad = JoinPath(options_.data_root, "pictures/train/dark/7.jpg");
  ASSERT_TRUE(WriteFileAtomic(bad, "\xff\xd8\xff not a picture").ok());
  const absl::Status status = Run(Spec(), "run").status();
  EXPECT_EQ(BlameOf(status), v1::BLAME_MACHINE) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(bad));
}

}  // namespace
}  // namespace qsweep::engine
