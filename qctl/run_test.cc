// qctl run, with everything it needs: real daemons, real training.
#include <gmock/gmock.h>
#include <signal.h>

#include "absl/strings/str_replace.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "qctl/cli_fixture.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/summary.pb.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::qctl {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// A few steps on Debian's Fashion-MNIST.
constexpr char kBase[] =
    "name: base\n"
    "model: {name: vit_mini_patch4_28, pretrained: false}\n"
    "dataset: {name: fashion_mnist, classes: [0, 1], train_limit: 64, eval_limit: 64}\n"
    "training: {method: full, num_epochs: 1}\n";
constexpr char kAdapters[] =
    "name: adapters\n"
    "model: {name: vit_mini_patch4_28, weights: "
    "'run:base/vit_mini_patch4_28-fashion_mnist-full-none-s42'}\n"
    "dataset: {name: fashion_mnist, classes: [2, 3], train_limit: 64, eval_limit: 64}\n"
    "training: {num_epochs: 1}\n"
    "matrix: {quantization: [{bits: 0}, {bits: 4}, {bits: 4, overrides: {fc2: int8}}]}\n";

TEST_F(CliTest, FromFilesToResults) {
  Write("base.yaml", kBase);
  Write("adapters.yaml", kAdapters);
  const std::vector<std::string> run = {"run", "base.yaml", "adapters.yaml", "-o", "json"};
  const Outcome first = Qctl(run);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_FALSE(SchedulerRuns());
  EXPECT_FALSE(WorkerRuns());

  v1::RunReport report;
  ASSERT_TRUE(FromJson(first.out, &report).ok()) << first.out;
  ASSERT_EQ(report.sweeps_size(), 2);
  const v1::SweepSummary& adapters = report.sweeps(1);
  EXPECT_EQ(adapters.succeeded(), 3);
  ASSERT_EQ(adapters.groups_size(), 3);
  EXPECT_EQ(adapters.groups(1).quantization(), "nf4");
  EXPECT_EQ(adapters.groups(1).top1().n(), 1);
  EXPECT_LT(adapters.groups(1).weights_bytes(), adapters.groups(0).weights_bytes());

  EXPECT_THAT(Qctl({"show", "adapters/vit_mini_patch4_28-fashion_mnist-r8-mixed-s42"}).out,
              ContainsRegex("type +mixed\n.*layers +24, "));

  // Every file that a result names is there with that content.
  int files = 0;
  const auto runs = ListDirectory(Path("qsweep-data/results/adapters"));
  ASSERT_TRUE(runs.ok()) << runs.status();
  for (const std::string& name : *runs) {
    if (name == "summary.json") continue;
    const std::string directory = Path(absl::StrCat("qsweep-data/results/adapters/", name));
    v1::RunResult result;
    ASSERT_TRUE(
        FromJson(ReadFile(JoinPath(directory, "result.json"), 1 << 20).value_or(""), &result).ok());
    for (const v1::FileFact& file : result.files()) {
      EXPECT_EQ(Sha256HexOfFile(JoinPath(directory, file.name())).value_or("missing"),
                file.sha256());
      ++files;
    }
  }
  EXPECT_GE(files, 4);  // weights and configuration of two adapters

  // Unchanged files: the same sweeps, shown again.
  const Outcome again = Qctl(run);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out, first.out);
  EXPECT_THAT(Qctl({"status"}).out, AllOf(HasSubstr("3/3"), HasSubstr("1/1")));

  // Another base under the same name: the adapters' file has not changed, what it means has.
  Write("base.yaml",
        absl::StrReplaceAll(kBase, {{"num_epochs: 1", "num_epochs: 1, learning_rate: 1e-3"}}));
  v1::RunReport rebased;
  ASSERT_TRUE(FromJson(Qctl(run).out, &rebased).ok());
  EXPECT_NE(rebased.sweeps(1).sweep_id(), adapters.sweep_id());
  EXPECT_EQ(rebased.sweeps(1).reused(), 0);
}

TEST_F(CliTest, WhatCanNeverRunHereEndsTheCommand) {
  Write("large.yaml",
        absl::StrReplaceAll(kBase, {{"vit_mini_patch4_28", "deit_base_patch16_224"}}));
  const Outcome stuck = Qctl({"run", "large.yaml", "--memory-limit", "300M"});
  EXPECT_EQ(stuck.exit_code, 1);
  EXPECT_THAT(stuck.err, ContainsRegex("base: 1 run can run nowhere: needs .*, the largest "
                                       "connected worker .*the same command goes on"));
  EXPECT_FALSE(SchedulerRuns());
}

TEST_F(CliTest, CtrlCInRunStopsAndTheSameCommandGoesOn) {
  Write("long.yaml",
        "name: long\n"
        "model: {name: vit_mini_patch4_28, pretrained: false}\n"
        "dataset: {name: fashion_mnist, eval_limit: 64}\n"
        "training: {num_epochs: 1000, log_interval: 1}\n");
  v1::RunDetail detail;
  const auto reaches = [&](int attempts, int64_t step) {
    detail.Clear();
    return FromJson(Qctl({"show", "1", "-o", "json"}).out, &detail).ok() &&
           detail.attempts_size() == attempts && detail.run().step() > step;
  };
  const auto interrupt = [&](const Started& started) {
    ASSERT_EQ(::kill(started.pid, SIGINT), 0);
    const Outcome stopped = End(started);
    EXPECT_EQ(stopped.exit_code, 130);
    EXPECT_THAT(stopped.err, HasSubstr("The same command goes on from here."));
    EXPECT_FALSE(SchedulerRuns());
    EXPECT_FALSE(WorkerRuns());
  };
  const Started first = Begin({"run", "long.yaml"});
  Await([&] { return reaches(1, 3); });
  interrupt(first);
  // What it measured so far can be taken elsewhere, as that of a run that failed.
  ASSERT_EQ(Qctl({"export", "long", "--format", "csv", "--out", "csv"}).exit_code, 0);
  EXPECT_THAT(ReadFile(Path("csv/metrics.csv"), 1 << 24).value_or(""), HasSubstr(",loss,3,"));

  const Started second = Begin({"run", "long.yaml"});
  Await([&] { return reaches(2, 3); });
  ASSERT_EQ(detail.attempts_size(), 2);
  EXPECT_GT(detail.attempts(1).resume_step(), 3);  // from the checkpoint it wrote, not from 0
  interrupt(second);
}

}  // namespace
}  // namespace qsweep::qctl
