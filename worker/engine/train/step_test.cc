// What a step computes, whatever its memory lets it: in parts, again, or not at all.
#include "worker/engine/train/step.h"

#include <gtest/gtest.h>

#include "worker/engine/base/allocator.h"
#include "worker/engine/testing/distance.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/testing.h"

namespace qsweep::engine {
namespace {

// Gradients of one batch with a plan that may change under way.
class StepTest : public TrainingTest {
 protected:
  StepTest() {
    spec_ = MiniSpec(R"({"training": {"use_mixed_precision": false}})");
    trainee_ = *MakeTrainee(spec_, ComputeType(), 10, "");
    at::manual_seed(1);
    batch_ = {at::randn({16, 3, 28, 28}), at::randint(10, {16}, at::kLong)};
    plan_.set_gradient_checkpointing("none");
    // Past the point at which lora_B is zero.
    for (const AdamW::Slot& slot : trainee_.optimizer->slots()) {
      slot.parameter.value.add_(0.02 * at::randn(slot.gradient.sizes()));
    }
  }
  absl::StatusOr<double> Compute(int64_t micro_batch) {
    plan_.set_micro_batch(micro_batch);
    return ComputeGradients(*trainee_.model, *trainee_.optimizer, batch_, 3, 0.1, &plan_);
  }
  std::vector<at::Tensor> Gradients() const {
    std::vector<at::Tensor> gradients;
    for (const AdamW::Slot& slot : trainee_.optimizer->slots()) {
      gradients.push_back(slot.gradient.clone());
    }
    return gradients;
  }
  // Sums over the 50 rows of 16 images, in one order and another.
  static void ExpectClose(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_LT(Distance(b[i], a[i]), Fp32Sums(2 * 16 * 50)) << i;
  }
  // Of logits of some 2, which round.
  static constexpr double kOfLoss = 4 * kUnitFp32;

  v1::ExperimentSpec spec_;
  Trainee trainee_;
  Batch batch_;
  v1::StepPlan plan_;
};

TEST_F(StepTest, TheMicroBatchDoesNotChangeTheGradient) {
  const double loss = *Compute(16);
  const std::vector<at::Tensor> gradients = Gradients();
  for (int64_t micro_batch : {1, 4, 5, 15}) {
    EXPECT_NEAR(*Compute(micro_batch), loss, kOfLoss) << micro_batch;
    ExpectClose(gradients, Gradients());
  }
}

TEST_F(StepTest, RecomputationDoesNotChangeTheGradient) {
  ASSERT_TRUE(Compute(16).ok());
  const std::vector<at::Tensor> gradients = Gradients();
  for (const char* checkpointing : {"selective", "full"}) {
    plan_.set_gradient_checkpointing(checkpointing);
    ASSERT_TRUE(Compute(16).ok());
    ExpectClose(gradients, Gradients());
  }
}

// What the plan trusts in. Two lanes need not be at their peaks at the same time, but within a few
// steps (ten at most when this was written) they are.
TEST_F(StepTest, ProbesTellThePeak) {
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    for (const char* name : {"none", "selective", "full"}) {
      plan_.set_gradient_checkpointing(name);
      const PeakProbe probe =
          MakePeakProbe(*trainee_.model, *trainee_.optimizer, 28, /*loader_bytes=*/0);
      const int64_t predicted = probe(16, CheckpointingFromName(name));
      ResetPeak();
      int64_t measured = 0;
      for (int step = 0; step < 500 && measured < 0.97 * predicted; ++step) {
        ASSERT_TRUE(Compute(16).ok());
        measured = CurrentMemory().total_peak_bytes;
      }
      EXPECT_LE(measured, 1.03 * predicted) << name;
      EXPECT_GE(measured, 0.97 * predicted) << name;
    }
  }
}

TEST_F(StepTest, OutOfMemoryHalvesTheMicroBatchAndRepeatsTheStep) {
  ResetPeak();
  ASSERT_TRUE(Compute(4).ok());
  const int64_t enough = CurrentMemory().total_peak_bytes;
  const double loss = *Compute(16);
  const std::vector<at::Tensor> gradients = Gradients();
  ReleaseCached();
  SetMemoryLimit(enough + gradients.size() * 4096 + 200'000);
  const absl::StatusOr<double> again = Compute(16);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_LT(plan_.micro_batch(), 16);
  EXPECT_NEAR(*again, loss, kOfLoss);
  SetMemoryLimit(0);
  ExpectClose(gradients, Gradients());
}

TEST_F(StepTest, OutOfMemoryOnASingleImageIsTheResourcesFault) {
  ReleaseCached();
  SetMemoryLimit(CurrentMemory().total_bytes + 1000);
  const absl::Status status = Compute(16).status();
  EXPECT_EQ(BlameOf(status), v1::BLAME_RESOURCES) << status;
  EXPECT_EQ(plan_.micro_batch(), 1);
}

}  // namespace
}  // namespace qsweep::engine
