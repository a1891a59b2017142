// The real qctl, as a person or a script meets it: what it prints, where, and its exit code.
#include <gmock/gmock.h>
#include <signal.h>

#include "common/proto_json.h"
#include "qctl/cli_fixture.h"
#include "qsweep/v1/summary.pb.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::qctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

// Two runs, of which nothing here is trained.
constexpr char kSweep[] =
    "name: little\n"
    "model: {name: vit_mini_patch4_28, pretrained: false}\n"
    "dataset: {name: fashion_mnist}\n"
    "training: {method: full}\n"
    "matrix: {seed: [1, 2]}\n";

TEST_F(CliTest, WrongArgumentsAreUsageErrors) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"frobnicate"},
                                                    {"plan"},
                                                    {"status", "--bogus"},
                                                    {"runs", "x", "--state", "sleeping"},
                                                    {"status", "--output", "xml"},
                                                    {"cancel"},
                                                    {"cancel", "x", "--run", "y"},
                                                    {"pause"},
                                                    {"drain"},
                                                    {"run", "x.yaml", "--slots", "0"},
                                                    {"status", "--scheduler", "host:99999"}}) {
    const Outcome outcome = Qctl(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, MatchesRegex("qctl: [^\n]+\n"));  // one sentence
  }
  EXPECT_FALSE(PathExists(Path("qsweep-data")));  // and nothing was begun
}

TEST_F(CliTest, HelpAndVersionAreGood) {
  const Outcome help = Qctl({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command :
       {"plan",    "submit",  "status", "watch",  "runs",    "show",   "metrics",
        "logs",    "explain", "cancel", "retry",  "pause",   "resume", "drain",
        "undrain", "workers", "run",    "report", "compare", "export"}) {
    EXPECT_THAT(help.out, HasSubstr(absl::StrCat("  ", command, " ")));
  }
  EXPECT_THAT(Qctl({"--version"}).out, StartsWith("qctl 0."));
}

TEST_F(CliTest, PlanShowsTheCells) {
  Write("sweep.yaml", kSweep);
  const Outcome text = Qctl({"plan", "sweep.yaml"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(StartsWith("run"), HasSubstr("-s1  "), HasSubstr("little: 2 runs\n"),
                              Not(HasSubstr("\x1b"))));
  const Outcome json = Qctl({"plan", "sweep.yaml", "--output", "json"});
  v1::Plan plan;
  ASSERT_TRUE(FromJson(json.out, &plan).ok()) << json.out;
  ASSERT_EQ(plan.cells_size(), 2);
  EXPECT_EQ(plan.cells(1).spec().seed(), 2);
  EXPECT_EQ(plan.cells(0).key().size(), 64u);
  EXPECT_FALSE(PathExists(Path("qsweep-data")));
}

TEST_F(CliTest, WhatCannotBePrintedIsAnError) {
  std::string seeds = "0";
  for (int seed = 1; seed < 300; ++seed) absl::StrAppend(&seeds, ", ", seed);
  Write("sweep.yaml",
        absl::StrCat("name: much\nmodel: {name: vit_mini_patch4_28, pretrained: false}\n"
                     "dataset: {name: fashion_mnist}\ntraining: {method: full}\n"
                     "matrix: {seed: [",
                     seeds, "]}\n"));
  const std::string plan =
      absl::StrCat(QSWEEP_BIN_DIR "/qctl plan ", Path("sweep.yaml"), " -o json 2>", Path("err"));
  const auto shell = [&](const std::string& rest) {
    return RunForOutput({"/bin/sh", "-c", plan + rest}, absl::Minutes(1)).value_or("failed");
  };
  EXPECT_EQ(shell(" >/dev/full; echo $?"), "1\n");
  EXPECT_THAT(ReadFile(Path("err"), 1 << 16).value_or(""), HasSubstr("could not be written"));
  EXPECT_EQ(shell(" | head -c 1"), "{");  // it has what it wanted
  EXPECT_EQ(ReadFile(Path("err"), 1 << 16).value_or("?"), "");
}

TEST_F(CliTest, ErrorsCannotDriveTheTerminal) {
  const Outcome outcome = Qctl({"status", "--scheduler", "a\x1b[2Jb:x"});
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("'a [2Jb:x'"), Not(HasSubstr("\x1b"))));
}

TEST_F(CliTest, ABadFileIsAUsageErrorWithItsPlace) {
  Write("bad.yaml",
        "model: {name: vit_mini_patch4_28}\ndataset: {name: fashion_mnist}\nlora: {rnak: 8}\n");
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"plan", "bad.yaml"},
                                                    {"submit", "bad.yaml"},
                                                    {"run", "bad.yaml"}}) {
    const Outcome outcome = Qctl(arguments);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("bad.yaml:3"), HasSubstr("rnak")));
  }
  EXPECT_EQ(Qctl({"plan", "missing.yaml"}).exit_code, 2);
  EXPECT_FALSE(PathExists(Path("qsweep-data")));
}

TEST_F(CliTest, KeysListsWhatASpecMaySay) {
  const Outcome text = Qctl({"keys"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out,
              AllOf(HasSubstr("\nmodel.name "), HasSubstr("0, 4, 8, auto"), HasSubstr("\nseed "),
                    HasSubstr("\nmatrix "), HasSubstr(", vit_mini_patch4_28")));
  EXPECT_THAT(Qctl({"keys", "-o", "json"}).out,
              AllOf(HasSubstr("\"lora.rank\""), HasSubstr("at least 1 and at most 4096"),
                    HasSubstr("\"required\": true"), Not(HasSubstr("\"required\","))));
}

TEST_F(CliTest, KeysSaysWhatAKeyMeans) {
  EXPECT_THAT(Qctl({"keys", "lora.use_rslora"}).out,
              AllOf(HasSubstr("lora.use_rslora: true or false; default false\n"),
                    HasSubstr("alpha / sqrt(rank)"), Not(HasSubstr("lora.rank"))));
  EXPECT_THAT(Qctl({"keys", "lora", "seed"}).out,
              AllOf(HasSubstr("lora.rank: "), HasSubstr("\nseed: "), Not(HasSubstr("model."))));
  const Outcome unknown = Qctl({"keys", "lora.rnak"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean lora.rank"));
}

TEST_F(CliTest, AWorkersFlagsAreForAWorkerHere) {
  Write("sweep.yaml", kSweep);
  const Outcome outcome =
      Qctl({"run", "sweep.yaml", "--slots", "2"}, {"QSWEEP_SCHEDULER=unix:nobody.sock"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("--slots: is for a worker on this machine"));
}

TEST_F(CliTest, SubmitWithoutSubmitting) {
  Write("sweep.yaml", kSweep);
  const Outcome valid = Qctl({"submit", "sweep.yaml", "--validate-only"});
  EXPECT_EQ(valid.exit_code, 0);
  EXPECT_EQ(valid.out, "sweep.yaml: little, 2 runs, no problems\n");
  const Outcome dry = Qctl({"submit", "sweep.yaml", "--dry-run", "--max-experiments", "1"});
  EXPECT_THAT(dry.out, AllOf(HasSubstr("-s1\n"), Not(HasSubstr("-s2\n")), HasSubstr("1 run,")));
  EXPECT_FALSE(PathExists(Path("qsweep-data")));
}

TEST_F(CliTest, ASchedulerThatIsNotThere) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"status"}, {"watch", "x"}, {"workers"}, {"logs", "x/y", "-f"}}) {
    const Outcome outcome = Qctl(arguments, {"QSWEEP_SCHEDULER=unix:nobody.sock"});
    EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
    EXPECT_THAT(outcome.err,
                MatchesRegex("qctl: the scheduler at unix:nobody.sock cannot be reached[^\n]+\n"));
  }
}

TEST_F(CliTest, WithoutDataNothingIsStarted) {
  const Outcome outcome = Qctl({"status"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("qctl run FILE"));
  EXPECT_FALSE(PathExists(Path("qsweep-data")));
  // Nor in a directory of something else.
  ASSERT_TRUE(MakeDirectories(Path("thesis")).ok());
  Write("thesis/chapter.tex", "");
  EXPECT_EQ(Qctl({"--data-dir", "thesis", "status"}).exit_code, 1);
  EXPECT_EQ(ListDirectory(Path("thesis"))->size(), 1u);
}

TEST_F(CliTest, TheEmbeddedSchedulerComesAndGoes) {
  Write("sweep.yaml", kSweep);
  const Outcome submitted = Qctl({"submit", "sweep.yaml", "--request-id", "r1", "-o", "json"});
  ASSERT_EQ(submitted.exit_code, 0) << submitted.err;
  v1::SubmitSweepReply first, second;
  ASSERT_TRUE(FromJson(submitted.out, &first).ok()) << submitted.out;
  EXPECT_TRUE(first.created());
  EXPECT_EQ(first.runs(), 2);
  EXPECT_FALSE(SchedulerRuns());

  const Outcome again = Qctl({"submit", "sweep.yaml", "--request-id", "r1", "-o", "json"});
  ASSERT_TRUE(FromJson(again.out, &second).ok()) << again.out;
  EXPECT_FALSE(second.created());
  EXPECT_EQ(second.sweep_id(), first.sweep_id());

  EXPECT_THAT(Qctl({"status"}).out,
              AllOf(HasSubstr("little"), HasSubstr("pending"), HasSubstr("0/2")));
  v1::ListRunsReply runs;
  ASSERT_TRUE(
      FromJson(Qctl({"runs", "little", "-o", "json", "--state", "pending"}).out, &runs).ok());
  ASSERT_EQ(runs.runs_size(), 2);
  v1::RunDetail detail;
  const std::string run = absl::StrCat("little/", runs.runs(0).name());
  ASSERT_TRUE(FromJson(Qctl({"show", run, "-o", "json"}).out, &detail).ok());
  EXPECT_EQ(detail.spec().seed(), 1);
  EXPECT_THAT(Qctl({"show", run}).out, HasSubstr("fashion_mnist"));
  EXPECT_EQ(Qctl({"show", "little/nobody"}).exit_code, 1);
  EXPECT_EQ(Qctl({"metrics", run}).exit_code, 0);
  EXPECT_EQ(Qctl({"logs", run}).exit_code, 0);

  EXPECT_THAT(Qctl({"explain", run}).out, HasSubstr("waits: no worker is connected"));
  EXPECT_EQ(Qctl({"pause", "little"}).out, "2 runs paused\n");
  EXPECT_THAT(Qctl({"status"}).out, HasSubstr("2 paused"));
  EXPECT_EQ(Qctl({"pause", "little"}).out, "0 runs paused: the sweep is paused\n");
  EXPECT_EQ(Qctl({"pause", "--run", run}).out, "0 runs paused: the run is paused\n");
  EXPECT_THAT(Qctl({"runs", "little", "--state", "paused"}).out, HasSubstr("-s2 "));
  EXPECT_THAT(Qctl({"explain", run}).out, AllOf(HasSubstr("waits: paused"), HasSubstr("paused\n")));
  EXPECT_EQ(Qctl({"resume", "little"}).out, "2 runs resumed\n");
  EXPECT_THAT(Qctl({"runs", "little", "--state", "paused,failed"}).err, HasSubstr("No runs"));
  EXPECT_EQ(Qctl({"drain", "nobody"}).exit_code, 1);
  EXPECT_THAT(Qctl({"plan", "sweep.yaml"}).out, HasSubstr("all were submitted before"));

  EXPECT_EQ(Qctl({"cancel", "--run", run}).out, "1 run cancelled\n");
  EXPECT_EQ(Qctl({"pause", "--run", run}).out, "0 runs paused: the run is cancelled\n");
  EXPECT_EQ(Qctl({"cancel", "little", "-o", "json"}).out, "{\n \"cancelled\": 1\n}\n");
  EXPECT_EQ(Qctl({"logs", run, "--follow"}).exit_code, 0);  // ends: the run has ended
  const Outcome watch = Qctl({"watch", "little", "-o", "json"});
  EXPECT_EQ(watch.exit_code, 4);
  v1::SweepUpdate update;
  ASSERT_TRUE(FromJson(watch.out.substr(0, watch.out.find('\n')), &update).ok()) << watch.out;
  EXPECT_EQ(update.sweep().cancelled(), 2);
  const Outcome retried = Qctl({"retry", "little"});
  EXPECT_EQ(retried.out, "2 runs to be tried again\n");
  EXPECT_EQ(retried.err, "`qctl run`, with or without the sweep's file, trains here.\n");
  EXPECT_FALSE(SchedulerRuns());
}

TEST_F(CliTest, SubmittingAgainSaysOfWhichSweepItIsTheSame) {
  Write("sweep.yaml", kSweep);
  EXPECT_EQ(Qctl({"submit", "sweep.yaml"}).out, "little: submitted as sweep 1, 2 runs\n");
  EXPECT_EQ(Qctl({"submit", "sweep.yaml"}).out,
            "little: submitted as sweep 2, 2 runs; the same runs as sweep 1\n");
  Write("sweep.yaml", absl::StrCat(kSweep, "priority: 1\n"));
  EXPECT_EQ(Qctl({"submit", "sweep.yaml"}).out, "little: submitted as sweep 3, 2 runs\n");
}

TEST_F(CliTest, ASweepThatHasNotBegunCanBeReportedComparedAndExported) {
  Write("sweep.yaml", kSweep);
  ASSERT_EQ(Qctl({"submit", "sweep.yaml"}).exit_code, 0);
  const Outcome report = Qctl({"report", "little", "--out", "report", "--no-figures"});
  EXPECT_EQ(report.exit_code, 0) << report.err;
  EXPECT_THAT(report.err, HasSubstr("report of 0 of 2 runs; 2 without a result are named in it"));
  EXPECT_THAT(ReadFile(Path("report/quantization_experiments_summary.json"), 1 << 20).value_or(""),
              HasSubstr("0 of 2 runs have a result; 2 still waiting."));
  EXPECT_TRUE(PathExists(Path("report/report.html")));

  EXPECT_THAT(Qctl({"doctor"}).out,
              AllOf(HasSubstr("is its owner's alone"), HasSubstr("none yet; `qctl run` brings")));

  const Outcome compare = Qctl({"compare", "little", "--by", "seed"});
  EXPECT_EQ(compare.exit_code, 0) << compare.err;
  EXPECT_THAT(compare.out, HasSubstr("0 of 1"));
  const Outcome typo = Qctl({"compare", "little", "--by", "lora.rnak"});
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_THAT(typo.err, HasSubstr("did you mean lora.rank?"));

  for (const char* format : {"csv", "jsonl", "tensorboard", "mlflow"}) {
    const Outcome out = Qctl({"export", "little", "--format", format, "--out", format});
    EXPECT_EQ(out.exit_code, 0) << out.err;
    EXPECT_TRUE(PathExists(Path(absl::StrCat(format, "/MANIFEST"))));
  }
  const Outcome none = Qctl({"export", "little", "--format", "peft", "--out", "peft"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("no run of this sweep has an adapter"));
  EXPECT_FALSE(PathExists(Path("peft")));
  const Outcome report_there = Qctl({"export", "little", "--format", "csv", "--out", "report"});
  EXPECT_THAT(report_there.err, HasSubstr("which is of no export of ours"));
  EXPECT_EQ(Qctl({"export", "little", "--format", "xls", "--out", "x"}).exit_code, 2);
  // What is not a report is not replaced.
  const Outcome refused = Qctl({"report", "little", "--out", "qsweep-data", "--no-figures"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("is of no report of ours"));
}

TEST_F(CliTest, CommandsAtTheSameTimeShareOneScheduler) {
  Write("sweep.yaml", kSweep);
  ASSERT_EQ(Qctl({"submit", "sweep.yaml"}).exit_code, 0);
  std::vector<Started> commands;
  for (int i = 0; i < 6; ++i) {
    commands.push_back(Begin({"status"}));
    commands.push_back(Begin({"runs", "little"}));
  }
  for (const Started& command : commands) {
    const Outcome outcome = End(command);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(outcome.out, HasSubstr("pending"));
  }
  EXPECT_FALSE(SchedulerRuns());
}

TEST_F(CliTest, AKilledSchedulerIsStartedAgainWhileWatched) {
  Write("sweep.yaml", kSweep);
  ASSERT_EQ(Qctl({"submit", "sweep.yaml"}).exit_code, 0);
  const Started watch = Begin({"watch", "little"});
  // Else `status` could be the scheduler's only user and stop it.
  Await([&] { return FileSize(watch.out_path).value_or(0) > 0; });
  pid_t killed = 0;
  // A third so soon after its start would be taken for a scheduler that cannot start.
  for (int i = 0; i < 2; ++i) {
    Await([&] { return SchedulerPid() != killed && Qctl({"status"}).exit_code == 0; });
    killed = SchedulerPid();
    ASSERT_EQ(::kill(killed, SIGKILL), 0);
  }
  Await([&] { return SchedulerPid() != killed; });
  EXPECT_EQ(Qctl({"cancel", "little"}).exit_code, 0);
  const Outcome watched = End(watch);
  EXPECT_EQ(watched.exit_code, 4) << watched.err;
  EXPECT_THAT(watched.out, HasSubstr("-s1 cancelled\n"));
  EXPECT_THAT(watched.out, Not(HasSubstr("\x1b")));  // no terminal: plain lines
  EXPECT_FALSE(SchedulerRuns());
}

TEST_F(CliTest, CtrlCLeavesNothingBehind) {
  Write("sweep.yaml", kSweep);
  ASSERT_EQ(Qctl({"submit", "sweep.yaml"}).exit_code, 0);
  const Started watch = Begin({"watch", "little"});
  Await([&] { return FileSize(watch.out_path).value_or(0) > 0; });
  ASSERT_TRUE(SchedulerRuns());
  ASSERT_EQ(::kill(watch.pid, SIGINT), 0);
  EXPECT_EQ(End(watch).exit_code, 130);
  EXPECT_FALSE(SchedulerRuns());
}

TEST_F(CliTest, WhatAKilledCommandLeftIsUsedAndStopped) {
  Write("sweep.yaml", kSweep);
  ASSERT_EQ(Qctl({"submit", "sweep.yaml"}).exit_code, 0);
  const Started watch = Begin({"watch", "little"});
  Await([&] { return FileSize(watch.out_path).value_or(0) > 0; });
  const pid_t scheduler = SchedulerPid();
  ASSERT_EQ(::kill(watch.pid, SIGKILL), 0);
  EXPECT_EQ(End(watch).exit_code, -1);
  EXPECT_TRUE(SchedulerRuns());
  EXPECT_EQ(Qctl({"status"}).exit_code, 0);
  EXPECT_EQ(SchedulerPid(), scheduler);
  EXPECT_FALSE(SchedulerRuns());
}

TEST_F(CliTest, ASchedulerThatSomebodyElseStartedIsLeftAlone) {
  const std::string data = Path("qsweep-data");
  ASSERT_TRUE(MakeDirectories(data).ok());
  const auto pid =
      StartSubprocess({.argv = {QSWEEP_BIN_DIR "/qscheduler", "--data-dir", data, "--listen",
                                absl::StrCat("unix:", data, "/scheduler.sock")}});
  ASSERT_TRUE(pid.ok()) << pid.status();
  Await([&] { return SchedulerPid() == *pid; });
  const Outcome outcome = Qctl({"status"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("No sweeps yet"));
  EXPECT_TRUE(SchedulerRuns());
  ASSERT_EQ(::kill(*pid, SIGTERM), 0);
  EXPECT_TRUE(WaitSubprocess(*pid, absl::Minutes(1)).ok());
}

TEST_F(CliTest, ALongDataDirectoryWorks) {
  Write("sweep.yaml", kSweep);
  const std::string data = absl::StrCat(std::string(60, 'a'), "/", std::string(60, 'b'), " ü");
  const Outcome submitted = Qctl({"submit", "sweep.yaml", "--data-dir", data});
  EXPECT_EQ(submitted.exit_code, 0) << submitted.err;
  EXPECT_THAT(Qctl({"status", "--data-dir", data}).out, HasSubstr("little"));
}

TEST_F(CliTest, ASchedulerThatCannotStartSaysWhy) {
  Write("sweep.yaml", kSweep);
  ASSERT_TRUE(MakeDirectories(Path("qsweep-data")).ok());
  Write("qsweep-data/qsweep.db", std::string(8192, 'x'));  // no database
  const Outcome outcome = Qctl({"status"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("scheduler.log ends in:"), HasSubstr("qsweep.db")));
}

}  // namespace
}  // namespace qsweep::qctl
