// How soon a set-up of real processes is at work again, and how much work it has lost, after each
// of the things that happen to it. Prints the figures. Wants the machine for itself.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/attempt_dir.h"
#include "common/clock.h"
#include "common/event_log.h"
#include "tests/cluster.h"
#include "worker/agent/machine.h"

namespace qsweep::testing {
namespace {

constexpr int kTimes = 3;
constexpr int64_t kInterval = 10;  // steps between two checkpoints, about 20 ms each
constexpr absl::Duration kLease = absl::Seconds(3);  // as in cluster.cc

const std::string kSweep = absl::StrCat(R"(
name: latency
model: {name: vit_mini_patch4_28, pretrained: false}
dataset: {name: fashion_mnist, batch_size: 32, eval_limit: 200}
training: {learning_rate: 1e-3, num_epochs: 1000, log_interval: 1, checkpoint_interval: )",
                                        kInterval, "}\n");

class Figures {
 public:
  explicit Figures(std::string what) : what_(std::move(what)) {}
  void Add(absl::Duration duration) { seconds_.push_back(absl::ToDoubleSeconds(duration)); }
  void AddLost(int64_t steps) { lost_ = std::max(lost_, steps); }
  void Expect(absl::Duration goal, int64_t lost_goal = kInterval) {
    ASSERT_FALSE(seconds_.empty());
    std::sort(seconds_.begin(), seconds_.end());
    std::printf("%s: median %.2f s, longest %.2f s of %zu (goal %.1f s)", what_.c_str(),
                seconds_[seconds_.size() / 2], seconds_.back(), seconds_.size(),
                absl::ToDoubleSeconds(goal));
    if (lost_ >= 0)
      std::printf("; at most %ld steps lost, checkpoints every %ld", lost_, kInterval);
    std::printf("\n");
    // Not the longest: on a machine that others use too, it says more of them.
    EXPECT_LE(seconds_[seconds_.size() / 2], absl::ToDoubleSeconds(goal)) << what_;
    EXPECT_LE(lost_, lost_goal) << what_;
  }

 private:
  const std::string what_;
  std::vector<double> seconds_;
  int64_t lost_ = -1;
};

class LatencyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Machine machine;
    machine.BusyCores();
    absl::SleepFor(absl::Seconds(1));
    const double busy = machine.BusyCores();
    if (busy > 0.5 * std::thread::hardware_concurrency()) {
      GTEST_SKIP() << busy << " cores are busy: figures would tell more of their work";
    }
    cluster_.StartScheduler();
    cluster_.StartWorker("a");
    cluster_.Submit(kSweep, "latency");
  }
  v1::Run Run() { return cluster_.Runs("latency").at(0); }
  // How long it took until then.
  absl::Duration Await(const std::function<bool()>& condition) {
    const absl::Duration begin = SystemClock().Monotonic();
    while (!condition()) {
      if (SystemClock().Monotonic() - begin > absl::Seconds(60)) {
        ADD_FAILURE() << "waited in vain; the run: " << Run().ShortDebugString();
        break;
      }
      absl::SleepFor(absl::Milliseconds(2));
    }
    return SystemClock().Monotonic() - begin;
  }
  // Until it has written another checkpoint and somewhat more.
  void AwaitProgress() {
    const v1::Run before = Run();
    Await([&] {
      const v1::Run now = Run();
      return now.state() == v1::RUN_STATE_RUNNING && now.step() >= before.step() + 2 * kInterval;
    });
  }
  bool Trains(const std::string& worker) {
    return !TrainersUnder(cluster_.WorkerDirectory(worker)).empty();
  }
  bool Connected(const std::string& worker) {
    return cluster_.Worker(worker).state() == "connected";
  }
  // By what the trainer itself has written. It must stand still.
  int64_t LastStep(const std::string& worker) {
    const v1::Run run = Run();
    const std::string log = absl::StrCat(cluster_.WorkerDirectory(worker), "attempts/run-",
                                         run.id(), "-attempt-", run.attempt(), "/", kEventsFile);
    const auto chunk = ReadEventLog(log, 0, 1 << 30);
    EXPECT_TRUE(chunk.ok()) << chunk.status();
    int64_t step = 0;
    if (!chunk.ok()) return 0;
    for (const v1::Event& event : chunk->events) step = std::max(step, event.metrics().step());
    return step;
  }
  int64_t ResumeStep() {
    const v1::RunDetail detail = cluster_.Detail(Run().id());
    return detail.attempts(detail.attempts_size() - 1).resume_step();
  }

  Cluster cluster_;
};

TEST_F(LatencyTest, AKilledTrainerIsRetriedWithinASecond) {
  Figures figures("a killed trainer is retried after");
  for (int i = 0; i < kTimes; ++i) {
    AwaitProgress();
    cluster_.Signal("a", SIGSTOP);  // so that what it has written stays what it has written
    const int64_t reached = LastStep("a");
    const std::vector<pid_t> before = TrainersUnder(cluster_.directory());
    cluster_.KillTrainers();
    cluster_.Signal("a", SIGCONT);
    figures.Add(Await([&] {
      const std::vector<pid_t> now = TrainersUnder(cluster_.directory());
      return !now.empty() && now != before;
    }));
    Await([&] { return Run().state() == v1::RUN_STATE_RUNNING; });
    figures.AddLost(reached - ResumeStep());
  }
  figures.Expect(absl::Seconds(1));
}

TEST_F(LatencyTest, AKilledWorkerTakesItsTrainersOverWithinTwoSeconds) {
  Figures figures("a worker that was killed and started again has its trainer back after");
  AwaitProgress();
  const v1::Run before = Run();
  const std::vector<pid_t> trainers = TrainersUnder(cluster_.directory());
  for (int i = 0; i < kTimes; ++i) {
    cluster_.KillWorker("a");
    Await([&] { return !Connected("a"); });
    cluster_.StartWorker("a");
    const int64_t step = Run().step();
    figures.Add(Await([&] { return Run().step() > step; }));
  }
  EXPECT_EQ(Run().attempt(), before.attempt());
  EXPECT_EQ(TrainersUnder(cluster_.directory()), trainers);
  figures.Expect(absl::Seconds(2));
}

TEST_F(LatencyTest, AVanishedMachinesRunGoesOnElsewhereTwoSecondsAfterItsLease) {
  Figures figures("a vanished machine's run is started elsewhere after");
  cluster_.StartWorker("b");
  std::string here = "a", there = "b";
  for (int i = 0; i < kTimes; ++i) {
    Await([&] { return Connected(there); });
    AwaitProgress();
    cluster_.Signal(here, SIGSTOP);  // not a word more, not even that a connection has ended
    const int64_t reached = LastStep(here);
    figures.Add(Await([&] { return Trains(there); }));
    figures.AddLost(reached - ResumeStep());
    cluster_.Signal(here, SIGCONT);
    Await([&] { return !Trains(here); });
    std::swap(here, there);
  }
  // A checkpoint that was on its way went with the machine, and what it did meanwhile.
  figures.Expect(kLease + absl::Seconds(2), 2 * kInterval);
}

}  // namespace
}  // namespace qsweep::testing
