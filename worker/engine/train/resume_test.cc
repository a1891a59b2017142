// A run that was stopped goes on as if it had not been, or not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/file.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/testing.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

class ResumeTest : public TrainingTest {};

// Stopped at every question whether to: before, between and after its steps (the third of an epoch
// is a smaller batch), within its evaluations and its end.
TEST_F(ResumeTest, ARunStoppedAnywhereEndsTheSame) {
  const v1::ExperimentSpec spec = MiniSpec(R"({"dataset": {"train_limit": 40, "eval_limit": 40},
                                               "training": {"checkpoint_interval": 2}})");
  const Points points = ReproduciblePoints(Finish(spec, "whole"));
  const std::string adapter = Bytes("whole", kAdapterFile);
  ASSERT_FALSE(adapter.empty());
  int calls = 0;
  for (;; ++calls) {
    SCOPED_TRACE(calls);
    const std::string name = absl::StrCat(calls);
    const auto outcome = Run(spec, "stopped" + name, "", calls);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    if (*outcome == TrainOutcome::kFinished) break;
    std::vector<v1::Event> events = EventsIn(options_.directory);
    ASSERT_TRUE(events.back().has_checkpoint());
    const std::vector<v1::Event> rest =
        Finish(spec, "resumed" + name, LastCheckpoint(options_.directory));
    EXPECT_EQ(rest[0].started().resume_step(), events.back().checkpoint().step());
    EXPECT_TRUE(Bytes("resumed" + name, kAdapterFile) == adapter);
    events.insert(events.end(), rest.begin(), rest.end());
    EXPECT_EQ(ReproduciblePoints(events), points);
  }
  EXPECT_EQ(calls, 16);  // 6 steps, before 2 evaluations, and in these and 2 more of 2 batches each
}

// For the same rounding to the end.
TEST_F(ResumeTest, ARunKeepsItsMicroBatchWhereThereIsMoreMemory) {
  const v1::ExperimentSpec spec = MiniSpec(R"({"training": {"gradient_checkpointing": "none"},
                   "dataset": {"train_limit": 48, "eval_limit": 16}})");
  const v1::MemoryAccount free = Finish(spec, "free").back().finished().result().memory();
  options_.memory_limit_bytes =
      kProgramBytes + 64 * 28 * 28 + free.peak_bytes() - free.activation_bytes() / 2;
  ASSERT_TRUE(Run(spec, "begun", "", 2).ok());
  const int64_t micro_batch = EventsIn(options_.directory)[0].started().micro_batch();
  ASSERT_LT(micro_batch, free.micro_batch());
  options_.memory_limit_bytes = 0;
  const std::vector<v1::Event> rest = Finish(spec, "rest", LastCheckpoint(options_.directory));
  EXPECT_EQ(rest[0].started().micro_batch(), micro_batch);
  // Not for that of other threads, whose rounding is another: they may need more images.
  const std::string checkpoint = LastCheckpoint(directory_.Path("begun"));
  options_.threads = 1;
  EXPECT_GT(Finish(spec, "elsewhere", checkpoint)[0].started().micro_batch(), micro_batch);
}

// Where all weights train, a checkpoint is four times their size, and the product once.
TEST_F(ResumeTest, ARunIsContinuedInTheMemoryItTook) {
  const v1::ExperimentSpec spec = MiniSpec(
      R"({"training": {"method": "full"}, "quantization": {"bits": 0, "double_quant": false},
          "dataset": {"batch_size": 1, "train_limit": 4, "eval_limit": 4}})");
  const v1::MemoryAccount took = Finish(spec, "free").back().finished().result().memory();
  options_.memory_limit_bytes = kProgramBytes + 8 * 28 * 28 + took.peak_bytes() + (1 << 19);
  ASSERT_TRUE(Run(spec, "begun", "", 3).ok());
  Finish(spec, "rest", LastCheckpoint(options_.directory));
}

TEST_F(ResumeTest, ACheckpointOfAnotherSpecIsRefused) {
  ASSERT_TRUE(Run(MiniSpec(), "first", "", 3).ok());
  const std::string checkpoint = LastCheckpoint(options_.directory);
  const absl::Status status = Run(MiniSpec(R"({"seed": 7})"), "second", checkpoint).status();
  EXPECT_EQ(BlameOf(status), v1::BLAME_CONFIG);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another experiment"));
}

TEST_F(ResumeTest, ARunIsNotContinuedFromOtherWeights) {
  const v1::ExperimentSpec base = MiniSpec(
      R"({"training": {"method": "full", "num_epochs": 1},
          "quantization": {"bits": 0, "double_quant": false},
          "dataset": {"train_limit": 64, "eval_limit": 16}})");
  Finish(base, "base");
  ASSERT_TRUE(Run(MiniSpec(), "first", "", 3).ok());
  const std::string checkpoint = LastCheckpoint(options_.directory);
  options_.weights_file = JoinPath(directory_.Sub("base"), kModelFile);
  const absl::Status status = Run(MiniSpec(), "second", checkpoint).status();
  EXPECT_EQ(BlameOf(status), v1::BLAME_MACHINE);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the same file"));
}

}  // namespace
}  // namespace qsweep::engine
