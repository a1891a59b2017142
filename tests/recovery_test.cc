// The second promise, on real processes: a crash changes nothing. Sweeps of short real runs (a
// small ViT on Fashion-MNIST) are disturbed, and must end exactly as an undisturbed sweep does.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <random>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "common/clock.h"
#include "qctl/chaos.h"
#include "tests/cluster.h"

namespace qsweep::testing {
namespace {

// Alone it takes some ten seconds; with other work on the machine many times that.
constexpr absl::Duration kEndOfSweep = absl::Minutes(15);

// Of many steps and checkpoints and few images: where a run is interrupted counts, not how much of
// it there is.
constexpr char kSweep[] = R"(
name: recovery
model: {name: vit_mini_patch4_28, pretrained: false}
dataset: {name: fashion_mnist, batch_size: 8, train_limit: 160, eval_limit: 40,
          augmentation: [horizontal_flip, padded_crop]}
lora: {rank: 4, dropout: 0.1}
training: {learning_rate: 1e-3, num_epochs: 4, checkpoint_interval: 5, log_interval: 1}
matrix:
  quantization:
    - {bits: 0}
    - {bits: 8}
    - {bits: 4, quant_type: nf4}
    - {bits: 4, quant_type: nf4, double_quant: true}
)";
constexpr int kRuns = 4;

// What a run leaves behind that must not depend on what happened on the way.
struct Outcome {
  std::map<std::string, std::string> files;                   // name -> SHA-256
  std::map<std::pair<std::string, int64_t>, double> metrics;  // (name, step) -> value
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// Rates and memory are measurements of a machine, not results.
bool IsMeasurement(const std::string& metric) {
  return metric == "images_per_s" || absl::StartsWith(metric, "memory/");
}

std::map<std::string, Outcome> Outcomes(Cluster& cluster, const std::string& sweep) {
  std::map<std::string, Outcome> outcomes;
  for (const v1::Run& run : cluster.Runs(sweep)) {
    EXPECT_EQ(run.state(), v1::RUN_STATE_SUCCEEDED) << run.ShortDebugString();
    Outcome& outcome = outcomes[run.name()];
    const v1::RunDetail detail = cluster.Detail(run.id());
    for (const v1::FileFact& file : detail.result().files())
      outcome.files[file.name()] = file.sha256();
    EXPECT_FALSE(outcome.files.empty()) << run.name();
    for (const v1::MetricPoint& point : cluster.Metrics(run.id())) {
      const bool first = outcome.metrics
                             .emplace(std::pair(point.name(), point.step()),
                                      IsMeasurement(point.name()) ? 0 : point.value())
                             .second;
      EXPECT_TRUE(first) << run.name() << ": two values of " << point.name() << " at "
                         << point.step();
    }
  }
  return outcomes;
}

void ExpectSame(const std::map<std::string, Outcome>& got,
                const std::map<std::string, Outcome>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, outcome] : want) {
    ASSERT_TRUE(got.contains(name)) << name;
    const Outcome& other = got.at(name);
    EXPECT_EQ(other.files, outcome.files) << name;
    for (const auto& [point, value] : outcome.metrics) {
      const auto found = other.metrics.find(point);
      if (found == other.metrics.end()) {
        ADD_FAILURE() << name << ": no " << point.first << " at step " << point.second;
      } else {
        EXPECT_EQ(found->second, value) << name << ": " << point.first << " at " << point.second;
      }
    }
    EXPECT_EQ(other.metrics.size(), outcome.metrics.size()) << name;
  }
}

// Made once: every test compares with it.
const std::map<std::string, Outcome>& Undisturbed() {
  static const auto* outcomes = [] {
    Cluster cluster;
    cluster.StartScheduler();
    cluster.StartWorker("a");
    cluster.StartWorker("b");
    cluster.Submit(kSweep, "undisturbed");
    const v1::Sweep end = cluster.WaitForEnd("recovery", kEndOfSweep);
    EXPECT_EQ(end.succeeded(), kRuns);
    return new std::map(Outcomes(cluster, "recovery"));
  }();
  return *outcomes;
}

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

// Strikes at scheduler, workers and trainers until `strikes` are done or the sweep has ended;
// returns how many there were.
int Disturb(uint32_t seed, int strikes, std::map<std::string, int>* acts) {
  const auto& want = Undisturbed();
  Cluster cluster;
  cluster.StartScheduler();
  cluster.StartWorker("a");
  cluster.StartWorker("b");
  qctl::ChaosOptions options;
  options.scheduler_dir = cluster.SchedulerDirectory();
  options.worker_dirs = {cluster.WorkerDirectory("a"), cluster.WorkerDirectory("b")};
  options.seed = seed;
  options.strikes = strikes;
  options.pause = absl::Milliseconds(700);
  options.longest_stop = absl::Seconds(6);  // twice a lease
  qctl::Chaos chaos(options, SystemClock());
  std::future<v1::Sweep> end = std::async(std::launch::async, [&cluster] {
    cluster.Submit(kSweep, "disturbed");
    return cluster.WaitForEnd("recovery", kEndOfSweep);
  });
  while (end.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
    chaos.Tick();
    cluster.StartWhatDied();
  }
  EXPECT_EQ(end.get().succeeded(), kRuns);
  chaos.ContinueAll();
  cluster.StartWhatDied();
  ExpectSame(Outcomes(cluster, "recovery"), want);
  // What was given up while its machine stood is told so when that is heard of again.
  Await([&cluster] { return TrainersUnder(cluster.directory()).empty(); });
  for (const auto& [act, times] : chaos.acts()) (*acts)[act] += times;
  return chaos.strikes();
}

// `QSWEEP_STRIKES=200 QSWEEP_SEED=1 recovery_test --gtest_filter=*Strikes*` for every night. The
// sweep is begun anew until so many strikes are done; the seed decides them as far as processes let
// it.
TEST(Recovery, StrikesChangeNothing) {
  const int strikes = FromEnvironment("QSWEEP_STRIKES", 24);
  const int seed = FromEnvironment("QSWEEP_SEED", static_cast<int>(std::random_device()() >> 1));
  std::map<std::string, int> acts;
  int done = 0;
  for (int round = 0; done < strikes && !HasFailure(); ++round) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed + round);
    done += Disturb(seed + round, strikes - done, &acts);
  }
  std::printf("%d strikes from seed %d:\n", done, seed);
  for (const auto& [act, times] : acts) std::printf("  %3d x %s\n", times, act.c_str());
}

TEST(Recovery, ASecondWorkerJoinsAndTheFirstLeavesForGood) {
  const auto& want = Undisturbed();
  Cluster cluster;
  cluster.StartScheduler();
  cluster.StartWorker("a");
  cluster.Submit(kSweep, "two-workers");
  cluster.StartWorker("b");
  // Both train, and worker a's run has a checkpoint to be continued from.
  int64_t orphaned = 0;
  Await([&] {
    bool b_works = false;
    int64_t on_a = 0;
    for (const v1::Run& run : cluster.Runs("recovery")) {
      b_works |= run.worker() == "b";
      if (run.worker() == "a" && run.state() == v1::RUN_STATE_RUNNING && run.step() >= 20)
        on_a = run.id();
    }
    if (b_works) orphaned = on_a;
    return orphaned != 0;
  });
  ASSERT_NE(orphaned, 0) << "never saw both workers train";
  cluster.KillWorker("a");
  cluster.KillTrainersOf("a");
  const v1::Sweep end = cluster.WaitForEnd("recovery", kEndOfSweep);
  EXPECT_EQ(end.succeeded(), kRuns) << end.ShortDebugString();
  ExpectSame(Outcomes(cluster, "recovery"), want);
  const v1::RunDetail detail = cluster.Detail(orphaned);
  ASSERT_GE(detail.attempts_size(), 2);
  const v1::AttemptRecord& last = detail.attempts(detail.attempts_size() - 1);
  EXPECT_EQ(last.worker(), "b");
  EXPECT_GT(last.resume_step(), 0) << "began again in place of going on from the checkpoint";
}

TEST(Recovery, AWorkerToldToStopHandsItsRunBack) {
  const auto& want = Undisturbed();
  Cluster cluster;
  cluster.StartScheduler();
  cluster.StartWorker("a");
  cluster.Submit(kSweep, "stopped-worker");
  Await([&cluster] {
    const std::vector<v1::Run> runs = cluster.Runs("recovery");
    return std::any_of(runs.begin(), runs.end(), [](const v1::Run& run) { return run.step() > 7; });
  });
  cluster.StopWorker("a");
  EXPECT_TRUE(TrainersUnder(cluster.directory()).empty());
  EXPECT_EQ(cluster.GetSweep("recovery").running(), 0) << "its lease was not ended by its goodbye";
  cluster.StartWorker("b");
  EXPECT_EQ(cluster.WaitForEnd("recovery", kEndOfSweep).succeeded(), kRuns);
  ExpectSame(Outcomes(cluster, "recovery"), want);
}

TEST(Recovery, TheSameRequestMakesOneSweepAcrossARestart) {
  Cluster cluster;
  cluster.StartScheduler();
  const v1::SubmitSweepReply first = cluster.Submit(kSweep, "once");
  EXPECT_TRUE(first.created());
  cluster.KillScheduler();
  cluster.StartScheduler();
  const v1::SubmitSweepReply second = cluster.Submit(kSweep, "once");
  EXPECT_FALSE(second.created());
  EXPECT_EQ(second.sweep_id(), first.sweep_id());
  v1::ListSweepsReply sweeps;
  grpc::ClientContext context;
  ASSERT_TRUE(cluster.stub().ListSweeps(&context, {}, &sweeps).ok());
  EXPECT_EQ(sweeps.sweeps_size(), 1);
}

}  // namespace
}  // namespace qsweep::testing
