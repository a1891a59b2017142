// Real training of a tiny model on real images, in this process.
#include "worker/engine/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/hash.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/testing.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

class TrainTest : public TrainingTest {
 protected:
  void ExpectFailure(const v1::ExperimentSpec& spec, v1::Blame blame, const std::string& text) {
    const absl::Status status = Run(spec, "failure").status();
    EXPECT_EQ(BlameOf(status), blame) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
};

std::vector<double> Losses(const std::vector<v1::Event>& events) {
  std::vector<double> losses;
  for (const auto& [key, value] : ReproduciblePoints(events)) {
    if (key.first == "loss") losses.push_back(value);
  }
  return losses;
}

TEST_F(TrainTest, FullTrainingLearns) {
  v1::ExperimentSpec spec = MiniSpec(
      R"({"training": {"method": "full", "num_epochs": 3, "learning_rate": 0.001},
          "quantization": {"bits": 0, "double_quant": false},
          "dataset": {"train_limit": 640, "eval_limit": 200}})");
  spec.mutable_training()->set_label_smoothing(0);
  spec.mutable_dataset()->clear_augmentation();
  const std::vector<v1::Event> events = Finish(spec, "full");
  const std::vector<double> losses = Losses(events);
  ASSERT_GT(losses.size(), 10u);
  EXPECT_NEAR(losses.front(), std::log(10), 0.05);  // four steps of 0.001 from knowing nothing
  EXPECT_LT(losses.back(), 1.95);
  const v1::RunResult& result = events.back().finished().result();
  // Guessing reaches 0.1, of 200 images within three standard deviations 0.164.
  EXPECT_GT(result.best().top1(), 0.2);
  EXPECT_EQ(result.trainable_parameters(), result.total_parameters());
  EXPECT_EQ(result.files(0).name(), kModelFile);
}

TEST_F(TrainTest, AResultSaysAllThereIsToSay) {
  const v1::ExperimentSpec spec = MiniSpec();
  const std::vector<v1::Event> events = Finish(spec, "whole");
  ASSERT_TRUE(events[0].has_started());
  EXPECT_EQ(events[0].started().total_steps(), 24);
  EXPECT_EQ(events[0].started().micro_batch(), 16);
  ASSERT_TRUE(events[2].has_quantization());
  EXPECT_GT(events[2].quantization().layers_quantized(), 0);
  const Points points = ReproduciblePoints(events);
  for (const auto& key : {std::pair<std::string, int64_t>{"loss", 4},
                          {"learning_rate", 24},
                          {"gradient_norm", 1},
                          {"gradient_norm", 24},
                          {"gradient_norm/blocks.0/std", 8},
                          {"gradient_norm/head/max", 12},
                          {"eval/top1", 12},
                          {"eval/macro_f1", 24}}) {
    EXPECT_EQ(points.count(key), 1u) << key.first << " at " << key.second;
  }
  const v1::RunResult& result = events.back().finished().result();
  EXPECT_EQ(result.epochs(), 2);
  EXPECT_EQ(result.steps(), 24);
  EXPECT_EQ(result.adapted_modules(), 6);
  EXPECT_EQ(result.final().images(), 100);
  EXPECT_EQ(result.final().confusion_size(), 100);
  EXPECT_GT(result.gradients().norm_mean(), 0);
  const v1::MemoryAccount& memory = result.memory();
  EXPECT_GT(memory.weights_bytes(), 0);
  EXPECT_GT(memory.scales_bytes(), 0);
  // Gradients, and two moments and the best value, fp32, of each trained parameter; blocks may be
  // rounded up.
  EXPECT_GE(memory.gradient_bytes(), 4 * result.trainable_parameters());
  EXPECT_GE(memory.optimizer_bytes(), 12 * result.trainable_parameters());
  EXPECT_LT(memory.optimizer_bytes(), 12 * result.trainable_parameters() + 100'000);
  EXPECT_GT(memory.activation_bytes(), 0);
  EXPECT_GT(memory.peak_bytes(), memory.activation_bytes());
  EXPECT_GT(memory.rss_peak_bytes(), memory.peak_bytes());
  EXPECT_EQ(memory.accumulation_steps(), 1);
  ASSERT_EQ(result.files_size(), 2);
  for (const v1::FileFact& file : result.files()) {
    EXPECT_EQ(file.sha256(), *Sha256HexOfFile(JoinPath(options_.directory, file.name())));
  }
  EXPECT_EQ(result.provenance().adapter_sha256(), result.files(0).sha256());
  // The two newest are left.
  EXPECT_FALSE(PathExists(JoinPath(options_.directory, "checkpoint-15.safetensors")));
  EXPECT_TRUE(PathExists(JoinPath(options_.directory, "checkpoint-20.safetensors")));
  EXPECT_TRUE(PathExists(JoinPath(options_.directory, "checkpoint-24.safetensors")));

  // An attempt that only ends the run has measured nothing of its own.
  const std::vector<v1::Event> again =
      Finish(spec, "again", JoinPath(options_.directory, "checkpoint-24.safetensors"));
  EXPECT_EQ(again[0].started().resume_step(), 24);
  const v1::RunResult& ended = again.back().finished().result();
  EXPECT_EQ(ended.images_per_s(), result.images_per_s());
  EXPECT_EQ(ended.memory().activation_bytes(), memory.activation_bytes());
  EXPECT_EQ(ended.memory().peak_bytes(), memory.peak_bytes());
}

TEST_F(TrainTest, StopsEarlyWithoutABetterEvaluation) {
  // Far too fast a rate: the evaluation loss soon rises.
  const std::vector<v1::Event> events =
      Finish(MiniSpec(R"({"training": {"num_epochs": 40, "early_stopping_patience": 2,
                   "learning_rate": 0.02, "lr_scheduler": "constant"},
                   "dataset": {"train_limit": 32}})"),
             "early");
  const v1::RunResult& result = events.back().finished().result();
  EXPECT_TRUE(result.stopped_early());
  EXPECT_LT(result.epochs(), 40);
  EXPECT_EQ(result.best_epoch(), result.epochs() - 2);
}

TEST_F(TrainTest, TheProductIsTheBestEpochs) {
  // Far too fast a rate and few images, soon known by heart: the last epoch is not the best.
  const std::string changes =
      R"({"training": {"num_epochs": EPOCHS, "early_stopping_patience": 0, "learning_rate": 0.02,
          "lr_scheduler": "constant", "warmup_steps": 0}, "dataset": {"train_limit": 32}})";
  const auto with_epochs = [&changes](int64_t epochs) {
    std::string text = changes;
    return MiniSpec(text.replace(text.find("EPOCHS"), 6, std::to_string(epochs)));
  };
  const std::vector<v1::Event> events = Finish(with_epochs(12), "long");
  const v1::RunResult& result = events.back().finished().result();
  ASSERT_LT(result.best_epoch(), 12);
  EXPECT_GT(result.final().loss(), result.best().loss());
  Finish(with_epochs(result.best_epoch()), "short");
  EXPECT_TRUE(Bytes("long", kAdapterFile) == Bytes("short", kAdapterFile));
}

TEST_F(TrainTest, AMemoryLimitChangesTheMicroBatchAndNotTheResult) {
  // In fp32: the micro-batch then moves gradients by their sums' rounding, some 1e-7, and in 24
  // steps losses by no more.
  const v1::ExperimentSpec spec =
      MiniSpec(R"({"training": {"use_mixed_precision": false, "gradient_checkpointing": "none"}})");
  const std::vector<v1::Event> free = Finish(spec, "free");
  const int64_t peak = free.back().finished().result().memory().peak_bytes();
  const int64_t activations = free.back().finished().result().memory().activation_bytes();
  options_.memory_limit_bytes = kProgramBytes + 290 * 28 * 28 + peak - activations / 2;
  const std::vector<v1::Event> limited = Finish(spec, "limited");
  const v1::MemoryAccount& memory = limited.back().finished().result().memory();
  EXPECT_LT(memory.micro_batch(), 16);
  EXPECT_GT(memory.accumulation_steps(), 1);
  EXPECT_LT(memory.peak_bytes(), peak);
  const std::vector<double> expected = Losses(free), losses = Losses(limited);
  ASSERT_EQ(losses.size(), expected.size());
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 3e-7) << i;
}

// Few images are evaluated, so that the peak is a step's.
TEST_F(TrainTest, AStepsPeakIsForetold) {
  for (const char* mixed : {"false", "true"}) {
    const v1::ExperimentSpec spec = MiniSpec(absl::StrCat(
        R"({"dataset": {"eval_limit": 4}, "training": {"use_mixed_precision": )", mixed, "}}"));
    options_.memory_limit_bytes = 0;
    const v1::MemoryAccount free =
        Finish(spec, absl::StrCat("free", mixed)).back().finished().result().memory();
    EXPECT_EQ(free.predicted_peak_bytes(), 0);
    options_.memory_limit_bytes =
        kProgramBytes + 196 * 28 * 28 + free.peak_bytes() - free.activation_bytes() / 2;
    const v1::MemoryAccount tight =
        Finish(spec, absl::StrCat("tight", mixed)).back().finished().result().memory();
    EXPECT_LT(tight.micro_batch(), free.micro_batch());
    EXPECT_NEAR(tight.predicted_peak_bytes(), tight.peak_bytes(), 0.03 * tight.peak_bytes());
  }
}

// Where the best epoch's values take more than an image's activations, a plan without them would
// fail in the second epoch.
TEST_F(TrainTest, ThePlanHoldsAfterTheFirstEvaluation) {
  const v1::ExperimentSpec spec = MiniSpec(
      R"({"training": {"method": "full", "use_mixed_precision": false,
                       "gradient_checkpointing": "none"},
          "quantization": {"bits": 0, "double_quant": false},
          "dataset": {"train_limit": 32}})");
  const v1::RunResult free = Finish(spec, "free").back().finished().result();
  options_.memory_limit_bytes =
      kProgramBytes + 132 * 28 * 28 + free.memory().peak_bytes() - 2 * free.trainable_parameters();
  const std::vector<v1::Event> limited = Finish(spec, "limited");
  EXPECT_LT(limited[0].started().micro_batch(), 16);
  EXPECT_EQ(limited.back().finished().result().memory().micro_batch(),
            limited[0].started().micro_batch());
}

TEST_F(TrainTest, AStepOfFewerImagesThanTheBatchIsPlannedAsSuch) {
  const v1::RunResult result =
      Finish(MiniSpec(R"({"dataset": {"batch_size": 100, "train_limit": 10},
                          "training": {"num_epochs": 1, "warmup_steps": 0}})"),
             "few")
          .back()
          .finished()
          .result();
  EXPECT_EQ(result.memory().micro_batch(), 10);
  EXPECT_EQ(result.memory().accumulation_steps(), 1);
}

// Weights that are read to be quantized are in memory once.
TEST_F(TrainTest, LoadingHoldsTheWeightsOnce) {
  const v1::ExperimentSpec spec = MiniSpec();
  const std::string file = JoinPath(directory_.path(), "weights.safetensors");
  ASSERT_TRUE(
      WriteTensorFile(file, MakeTrainee(spec, ComputeType(), 10, "")->model->Merged()).ok());
  const int64_t before = CurrentMemory().total_bytes;
  ResetPeak();
  const Trainee trainee = *MakeTrainee(spec, ComputeType(), 10, file);
  const int64_t once = 4 * trainee.model->total_parameters();
  // And what they become: 4 bits of 32, adapters, a layer's temporaries.
  EXPECT_LT(CurrentMemory().total_peak_bytes - before, once + once * 3 / 4);
  EXPECT_LT(CurrentMemory().total_bytes - before, once);
}

TEST_F(TrainTest, MissingDataIsTheMachinesFault) {
  options_.data_root = directory_.Sub("empty");
  ExpectFailure(MiniSpec(R"({"dataset": {"name": "cifar10"}})"), v1::BLAME_MACHINE, "cifar");
}

TEST_F(TrainTest, ATargetThatMatchesNothingIsTheConfigsFault) {
  v1::ExperimentSpec spec = MiniSpec();
  spec.mutable_lora()->set_target_modules(0, "blocks.7.attn.qkv");
  ExpectFailure(spec, v1::BLAME_CONFIG, "blocks.7.attn.qkv");
}

TEST_F(TrainTest, ALimitThatNothingFitsInIsTheResources) {
  options_.memory_limit_bytes = kProgramBytes + (1 << 20);
  ExpectFailure(MiniSpec(), v1::BLAME_RESOURCES, "memory");
}

TEST_F(TrainTest, ALossThatIsNotFiniteIsTheConfigsFault) {
  Finish(MiniSpec(R"({"training": {"method": "full", "num_epochs": 1},
                      "quantization": {"bits": 0, "double_quant": false}})"),
         "base");
  TensorFile weights = *ReadTensorFile(JoinPath(directory_.Sub("base"), kModelFile));
  weights.tensors.at("norm.weight").fill_(std::numeric_limits<float>::max());
  options_.weights_file = JoinPath(directory_.path(), "huge.safetensors");
  ASSERT_TRUE(WriteTensorFile(options_.weights_file, weights).ok());
  ExpectFailure(MiniSpec(), v1::BLAME_CONFIG, "step 1: the loss is");
}

// Nothing that the last block's attention says gets anywhere.
TEST_F(TrainTest, AnAdapterThatLearnsNothingIsTheConfigsFault) {
  Finish(MiniSpec(R"({"training": {"method": "full", "num_epochs": 1},
                      "quantization": {"bits": 0, "double_quant": false},
                      "dataset": {"train_limit": 64, "eval_limit": 16}})"),
         "base");
  TensorFile weights = *ReadTensorFile(JoinPath(directory_.Sub("base"), kModelFile));
  weights.tensors.at("blocks.5.attn.proj.weight").zero_();
  options_.weights_file = JoinPath(directory_.path(), "deaf.safetensors");
  ASSERT_TRUE(WriteTensorFile(options_.weights_file, weights).ok());
  ExpectFailure(MiniSpec(), v1::BLAME_CONFIG, "blocks.5.attn.qkv.lora_B.weight");
}

TEST_F(TrainTest, WeightsThatAreDamagedAreTheMachines) {
  options_.weights_file = JoinPath(directory_.path(), "bad.safetensors");
  ASSERT_TRUE(WriteFileAtomic(options_.weights_file, "not weights").ok());
  ExpectFailure(MiniSpec(), v1::BLAME_MACHINE, "bad.safetensors");
}

}  // namespace
}  // namespace qsweep::engine
