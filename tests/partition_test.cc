// Real daemons on machines of their own (network namespaces), whose cables are cut, throttled and
// plugged in again; over TLS, as in a lab. The trainer is a stand-in.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/cluster.h"
#include "tests/network.h"

namespace qsweep::testing {
namespace {

constexpr int64_t kSteps = 100;
constexpr int64_t kInterval = 5;  // between checkpoints

// For the stand-in: epochs are steps, log_interval is the milliseconds a step takes, eval_limit the
// KiB of a checkpoint.
std::string Sweep(int runs, int64_t interval = kInterval, int64_t checkpoint_kib = 0) {
  std::string seeds;
  for (int seed = 1; seed <= runs; ++seed) absl::StrAppend(&seeds, seed > 1 ? ", " : "", seed);
  return absl::StrCat(R"(
name: sweep
model: {name: vit_mini_patch4_28, pretrained: false}
dataset: {name: cifar10, image_size: 28, eval_limit: )",
                      checkpoint_kib, "}\ntraining: {num_epochs: ", kSteps,
                      ", log_interval: 100, checkpoint_interval: ", interval, "}\nmatrix: {seed: [",
                      seeds, "]}\n");
}

class PartitionTest : public ::testing::Test {
 protected:
  // Before any other thread: once for all tests.
  static void SetUpTestSuite() {
    auto network = Network::Create({"a", "b", "c", "d"});
    if (network.ok()) {
      network_ = network->release();
    } else {
      why_not_ = std::string(network.status().message());
    }
  }
  void SetUp() override {
    if (network_ == nullptr) GTEST_SKIP() << "no network namespaces here: " << why_not_;
    cluster_ = std::make_unique<Cluster>(QSWEEP_FAKE_QTRAIN);
    cluster_->ServeTls(kNetworkHost);
  }
  void TearDown() override {
    if (network_ == nullptr) return;
    cluster_.reset();
    for (const char* machine : {"a", "b", "c", "d"}) EXPECT_TRUE(network_->Mend(machine).ok());
  }
  void StartWorker(const std::string& machine, int slots = 1) {
    cluster_->StartWorker(machine, {slots, network_->Enter(machine)});
  }
  std::string State(const std::string& worker) { return cluster_->Worker(worker).state(); }
  std::vector<v1::Run> Runs() { return cluster_->Runs("sweep"); }
  bool AllRunsReach(int64_t step) {
    for (const v1::Run& run : Runs()) {
      if (run.state() != v1::RUN_STATE_RUNNING || run.step() < step) return false;
    }
    return true;
  }
  // Every step of every run once, by whichever attempt.
  void ExpectWhole() {
    for (const v1::Run& run : Runs()) {
      EXPECT_EQ(run.state(), v1::RUN_STATE_SUCCEEDED) << run.ShortDebugString();
      int64_t next = 1;
      for (const v1::MetricPoint& point : cluster_->Metrics(run.id())) {
        EXPECT_EQ(point.step(), next++) << run.name();
      }
      EXPECT_EQ(next, kSteps + 1) << run.name();
    }
  }

  static Network* network_;
  static std::string why_not_;
  std::unique_ptr<Cluster> cluster_;
};
Network* PartitionTest::network_ = nullptr;
std::string PartitionTest::why_not_;

TEST_F(PartitionTest, AMachineCutOffLosesItsRunAfterTheLeaseAndIsFenced) {
  cluster_->StartScheduler();
  for (const char* machine : {"a", "b", "c"}) StartWorker(machine);
  cluster_->Submit(Sweep(3), "cut");
  Await([&] { return AllRunsReach(2 * kInterval + 1); });
  ASSERT_TRUE(network_->Cut("a", Network::Way::kBoth).ok());
  ASSERT_TRUE(network_->Cut("b", Network::Way::kToTest).ok());
  ASSERT_TRUE(network_->Cut("c", Network::Way::kFromTest).ok());
  StartWorker("d", /*slots=*/3);
  Await([&] {
    for (const v1::Run& run : Runs()) {
      if (run.worker() != "d" || run.step() < 4 * kInterval) return false;
    }
    return true;
  });
  for (const char* machine : {"a", "b", "c"}) {
    EXPECT_EQ(State(machine), "gone");
    EXPECT_FALSE(TrainersUnder(cluster_->WorkerDirectory(machine)).empty()) << machine;
    ASSERT_TRUE(network_->Mend(machine).ok());
  }
  for (const char* machine : {"a", "b", "c"}) {
    const absl::Duration took = Await([&] {
      return State(machine) == "connected" &&
             TrainersUnder(cluster_->WorkerDirectory(machine)).empty();
    });
    std::printf("%s is back, and its old trainer gone, %.1f s after its cable was mended\n",
                machine, absl::ToDoubleSeconds(took));
  }
  cluster_->WaitForEnd("sweep", absl::Minutes(1));
  ExpectWhole();
  for (const v1::Run& run : Runs()) {
    const v1::RunDetail detail = cluster_->Detail(run.id());
    ASSERT_EQ(detail.attempts_size(), 2) << detail.ShortDebugString();
    EXPECT_EQ(detail.attempts(0).outcome(), "lost");
    EXPECT_EQ(detail.attempts(1).outcome(), "succeeded");
    EXPECT_EQ(detail.attempts(1).worker(), "d");
    EXPECT_GE(detail.attempts(1).resume_step(), 2 * kInterval);
  }
}

TEST_F(PartitionTest, OneThatIsBackWithinItsLeaseKeepsItsRun) {
  cluster_->StartScheduler(absl::Seconds(30));
  StartWorker("a");
  StartWorker("b");
  cluster_->Submit(Sweep(1), "short");
  Await([&] { return AllRunsReach(kInterval); });
  const std::string machine = Runs().at(0).worker();
  ASSERT_TRUE(network_->Cut(machine, Network::Way::kBoth).ok());
  absl::SleepFor(absl::Seconds(4));
  const int64_t step = Runs().at(0).step();
  ASSERT_TRUE(network_->Mend(machine).ok());
  Await([&] { return Runs().at(0).step() > step + 20; });
  cluster_->WaitForEnd("sweep", absl::Minutes(1));
  ExpectWhole();
  EXPECT_EQ(cluster_->Detail(Runs().at(0).id()).attempts_size(), 1);
}

TEST_F(PartitionTest, ASlowLineStarvesNoHeartbeat) {
  if (const absl::Status status = network_->Throttle("a", 400); !status.ok()) {
    GTEST_SKIP() << "cannot make a line slow here: " << status.message();
  }
  cluster_->StartScheduler();
  StartWorker("a");
  // Each checkpoint takes six seconds on the line, twice a lease.
  cluster_->Submit(Sweep(1, /*interval=*/40, /*checkpoint_kib=*/300), "slow");
  cluster_->WaitForEnd("sweep", absl::Minutes(1));
  ExpectWhole();
  EXPECT_EQ(cluster_->Detail(Runs().at(0).id()).attempts_size(), 1) << "a lease ran out";
}

// Nothing is said for 40 s (a heartbeat every 60): only a keep-alive can find out.
TEST_F(PartitionTest, AConnectionThatDiedInSilenceIsReplaced) {
  cluster_->StartScheduler(absl::Seconds(600));
  StartWorker("b");
  Await([&] { return State("b") == "connected"; });
  ASSERT_TRUE(network_->Renumber("b").ok());
  const absl::Duration noticed = Await([&] { return State("b") == "lost contact"; });
  const absl::Duration back = noticed + Await([&] { return State("b") == "connected"; });
  std::printf("a dead connection was noticed after %.1f s, a new one was there after %.1f s\n",
              absl::ToDoubleSeconds(noticed), absl::ToDoubleSeconds(back));
  // 10 s without a word, 10 s for the answer to a ping, and as much again for a busy machine.
  EXPECT_LE(noticed, absl::Seconds(40));
  EXPECT_LE(back, absl::Seconds(60));
}

}  // namespace
}  // namespace qsweep::testing
