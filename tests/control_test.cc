// What people and machines do to a set-up of real daemons, whose trainer is a stand-in: control
// reaches the trainer, a machine that slept is fenced, and what is known is not computed again.
#include <gtest/gtest.h>
#include <signal.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "tests/cluster.h"

namespace qsweep::testing {
namespace {

// For the stand-in: epochs are steps, log_interval is the milliseconds a step takes.
std::string Sweep(const std::string& name, int priority = 0) {
  return absl::StrCat("name: ", name, "\npriority: ", priority, R"(
model: {name: vit_mini_patch4_28, pretrained: false}
dataset: {name: cifar10, image_size: 28}
training: {num_epochs: 60, log_interval: 100, checkpoint_interval: 5}
seed: )",
                      name.size(), "\n");
}

class ControlTest : public ::testing::Test {
 protected:
  ControlTest() : cluster_(QSWEEP_FAKE_QTRAIN) {
    cluster_.StartScheduler();
    cluster_.StartWorker("a");
  }
  v1::Run Run(const std::string& sweep) { return cluster_.Runs(sweep).at(0); }
  bool WaitFor(const std::function<bool()>& condition) {
    const absl::Duration deadline = SystemClock().Monotonic() + absl::Seconds(30);
    while (SystemClock().Monotonic() < deadline) {
      if (condition()) return true;
      absl::SleepFor(absl::Milliseconds(50));
    }
    return false;
  }
  bool WaitForStep(const std::string& sweep, int64_t step) {
    return WaitFor([&] { return Run(sweep).step() >= step; });
  }
  // Every step once, by whichever attempt.
  void ExpectAllSteps(const std::string& sweep) {
    int64_t next = 1;
    for (const v1::MetricPoint& point : cluster_.Metrics(Run(sweep).id())) {
      EXPECT_EQ(point.step(), next++);
    }
    EXPECT_EQ(next, 61);
  }

  Cluster cluster_;
};

TEST_F(ControlTest, APausedRunGoesOnWhereItStopped) {
  cluster_.Submit(Sweep("pause"), "pause");
  ASSERT_TRUE(WaitForStep("pause", 7));
  v1::Target target;
  target.set_sweep("pause");
  v1::TargetReply reply;
  grpc::ClientContext first, second;
  ASSERT_TRUE(cluster_.stub().Pause(&first, target, &reply).ok());
  EXPECT_EQ(reply.runs(), 1);
  ASSERT_TRUE(WaitFor([&] { return Run("pause").state() == v1::RUN_STATE_PENDING; }));
  EXPECT_EQ(Run("pause").waiting(), "paused");
  EXPECT_TRUE(TrainersUnder(cluster_.directory()).empty());
  const int64_t reached = Run("pause").step();
  ASSERT_TRUE(cluster_.stub().Resume(&second, target, &reply).ok());
  EXPECT_EQ(cluster_.WaitForEnd("pause", absl::Seconds(60)).succeeded(), 1);
  const v1::RunDetail detail = cluster_.Detail(Run("pause").id());
  ASSERT_EQ(detail.attempts_size(), 2);
  EXPECT_EQ(detail.attempts(1).resume_step(), reached);  // nothing was lost
  ExpectAllSteps("pause");
}

TEST_F(ControlTest, AnUrgentSweepTakesTheMachineAndGivesItBack) {
  cluster_.Submit(Sweep("patient"), "patient");
  ASSERT_TRUE(WaitForStep("patient", 7));
  cluster_.Submit(Sweep("urgently", 10), "urgently");
  EXPECT_EQ(cluster_.WaitForEnd("urgently", absl::Seconds(60)).succeeded(), 1);
  EXPECT_EQ(cluster_.GetSweep("patient").succeeded(), 0);
  EXPECT_EQ(cluster_.WaitForEnd("patient", absl::Seconds(60)).succeeded(), 1);
  const v1::RunDetail detail = cluster_.Detail(Run("patient").id());
  ASSERT_EQ(detail.attempts_size(), 2);
  EXPECT_GE(detail.attempts(1).resume_step(), 7);
  EXPECT_EQ(detail.attempts(0).outcome(), "released");
  ExpectAllSteps("patient");
}

// The lease is 3 s (cluster.cc).
TEST_F(ControlTest, AMachineThatSleptLongerThanItsLeaseIsFenced) {
  cluster_.Submit(Sweep("sleep"), "sleep");
  ASSERT_TRUE(WaitForStep("sleep", 7));
  cluster_.Signal("a", SIGSTOP);
  cluster_.StartWorker("b");
  ASSERT_TRUE(WaitFor([&] { return Run("sleep").worker() == "b"; }));
  ASSERT_TRUE(WaitForStep("sleep", 15));
  cluster_.Signal("a", SIGCONT);
  // The old trainer is stopped though its run is well, and what it had to say is not heard.
  EXPECT_TRUE(WaitFor([&] { return TrainersUnder(cluster_.directory() + "/worker-a").empty(); }));
  EXPECT_EQ(Run("sleep").worker(), "b");
  EXPECT_EQ(cluster_.WaitForEnd("sleep", absl::Seconds(60)).succeeded(), 1);
  const v1::RunDetail detail = cluster_.Detail(Run("sleep").id());
  ASSERT_EQ(detail.attempts_size(), 2);
  EXPECT_EQ(detail.attempts(0).outcome(), "lost");
  EXPECT_EQ(detail.attempts(1).outcome(), "succeeded");
  EXPECT_GE(detail.attempts(1).resume_step(), 5);
  ExpectAllSteps("sleep");
}

TEST_F(ControlTest, AFinishedCellIsNotComputedAgain) {
  std::string sweep = R"(
name: cells
model: {name: vit_mini_patch4_28, pretrained: false}
dataset: {name: cifar10, image_size: 28}
training: {num_epochs: 4, log_interval: 1}
matrix: {quantization: [{bits: 0}, {bits: 8}], seed: [1, 2]}
)";
  cluster_.Submit(sweep, "first");
  EXPECT_EQ(cluster_.WaitForEnd("cells", absl::Seconds(60)).succeeded(), 4);
  sweep.replace(sweep.find("[1, 2]"), 6, "[1, 2, 3]");
  const v1::SubmitSweepReply reply = cluster_.Submit(sweep, "one-more-seed");
  EXPECT_EQ(reply.runs(), 6);
  EXPECT_EQ(reply.reused(), 4);
  EXPECT_EQ(cluster_.WaitForEnd("cells", absl::Seconds(60)).succeeded(), 6);
  int attempts = 0;
  for (const v1::Run& run : cluster_.Runs("cells")) {
    attempts += cluster_.Detail(run.id()).attempts_size();
  }
  EXPECT_EQ(attempts, 2);
}

}  // namespace
}  // namespace qsweep::testing
