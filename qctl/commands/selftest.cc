// qctl selftest: a small sweep with this installation on this machine; with --chaos once more while
// its processes are killed and stopped, and the results compared byte for byte.
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/proto_json.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "qctl/chaos.h"
#include "qctl/command.h"
#include "qctl/format.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace {

constexpr char kSweep[] = R"(name: selftest
model: {name: vit_mini_patch4_28, pretrained: false}
dataset: {name: fashion_mnist, train_limit: 2048, eval_limit: 256, batch_size: 64}
training: {method: full, num_epochs: 2, learning_rate: 1e-3, checkpoint_interval: 4}
matrix:
  seed: [1, 2, 3, 4]
)";
constexpr char kDataset[] = "fashion_mnist";  // kSweep's
constexpr absl::Duration kLongest = absl::Minutes(30);
constexpr absl::Duration kProbeTimeout = absl::Minutes(1);
// Shorter than leases: somebody waits. (recovery_test stops processes for longer than that.)
constexpr absl::Duration kLongestStop = absl::Seconds(4);

struct Options {
  bool chaos = false;
  uint32_t seed = 1;
  double pause_s = 3;
  int strikes = 20;
  std::string data_root;
};

// What a run left: its files' hashes and its final numbers. The same machine must leave the same.
using Results = std::map<std::string, std::string>;

absl::StatusOr<Results> ReadResults(const std::string& data_dir) {
  GlobalOptions options;
  options.data_dir = data_dir;
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::ListRunsReply runs, connection->client().ListRuns("selftest", {}));
  Results results;
  for (const v1::Run& run : runs.runs()) {
    if (run.state() != v1::RUN_STATE_SUCCEEDED) {
      return absl::InternalError(
          absl::StrCat("run ", run.name(), " ", StateName(run.state()), ": ", run.error()));
    }
    ASSIGN_OR_RETURN(const v1::RunDetail detail,
                     connection->client().GetRun(absl::StrCat(run.id())));
    std::string& text = results[run.name()];
    for (const v1::FileFact& file : detail.result().files()) {
      absl::StrAppend(&text, file.name(), " ", file.sha256(), "\n");
    }
    v1::Evaluation last = detail.result().best();
    absl::StrAppend(&text, "top-1 ", last.top1(), " loss ", last.loss());
  }
  return results;
}

// Else its runs would wait for a worker that has the data, in vain.
absl::Status CheckDataset(const std::string& data_root) {
  std::vector<std::string> probe = {JoinPath(ProgramDirectory(), "qtrain"), "probe"};
  if (!data_root.empty()) probe.insert(probe.end(), {"--data-root", data_root});
  ASSIGN_OR_RETURN(const std::string json, RunForOutput(probe, kProbeTimeout));
  v1::WorkerInfo info;
  RETURN_IF_ERROR(FromJson(json, &info));
  const auto& datasets = info.datasets();
  if (std::find(datasets.begin(), datasets.end(), kDataset) != datasets.end()) {
    return absl::OkStatus();
  }
  return absl::NotFoundError(
      absl::StrCat(kDataset,
                   " is not on this machine; install Debian's dataset-fashion-mnist, or "
                   "`qctl fetch dataset ",
                   kDataset, "` and name the directory as --data-root"));
}

// Hands on what another process adds to a file, line by line.
class Relay {
 public:
  explicit Relay(std::string path) : path_(std::move(path)) {}
  void Pass() {
    const std::string text = ReadFile(path_, 1 << 24).value_or("");
    for (size_t end; (end = text.find('\n', passed_)) != std::string::npos; passed_ = end + 1) {
      Note(text.substr(passed_, end - passed_));
    }
  }

 private:
  const std::string path_;
  size_t passed_ = 0;
};

// `qctl run` on the sweep, as a process of its own; `meanwhile` is called until it ends.
template <typename Meanwhile>
absl::Status RunSweep(const std::string& directory, const std::string& name, const Options& options,
                      const Meanwhile& meanwhile) {
  SubprocessOptions run;
  run.argv = {JoinPath(ProgramDirectory(), "qctl"), "run", JoinPath(directory, "selftest.yaml"),
              "--data-dir", JoinPath(directory, name)};
  if (!options.data_root.empty()) {
    run.argv.insert(run.argv.end(), {"--data-root", options.data_root});
  }
  // The user's own scheduler is not what is tested, and need not know of it.
  run.environment = {"QSWEEP_SCHEDULER="};
  run.stdout_path = run.stderr_path = JoinPath(directory, name + ".log");
  ASSIGN_OR_RETURN(const pid_t pid, StartSubprocess(run));
  const absl::Duration begin = SystemClock().Monotonic();
  Relay relay(run.stderr_path);
  while (true) {
    ASSIGN_OR_RETURN(const auto exit, PollSubprocess(pid));
    relay.Pass();
    if (exit.has_value()) {
      if (exit->signal == 0 && exit->exit_code == 0) return absl::OkStatus();
      return absl::InternalError(absl::StrCat(
          "`qctl run` did not succeed, as its lines above say; see ", run.stderr_path));
    }
    meanwhile();
    if (Interrupts() > 0 || SystemClock().Monotonic() - begin > kLongest) {
      ::kill(pid, SIGTERM);  // it stops its daemons
      (void)WaitSubprocess(pid, absl::Minutes(2));
      if (Interrupts() > 0) return InterruptedError();
      return absl::InternalError(absl::StrCat("the ", name, " sweep was not done after ",
                                              FormatElapsed(kLongest), "; see ", run.stderr_path));
    }
  }
}

absl::StatusOr<v1::SelftestReport> RunAll(const std::string& directory, const Options& options) {
  v1::SelftestReport report;
  RETURN_IF_ERROR(CheckDataset(options.data_root));
  RETURN_IF_ERROR(WriteFileAtomic(JoinPath(directory, "selftest.yaml"), kSweep));
  const absl::Duration begin = SystemClock().Monotonic();
  RETURN_IF_ERROR(RunSweep(directory, "calm", options,
                           [] { SleepUnlessInterrupted(absl::Milliseconds(100)); }));
  report.set_calm_s(absl::ToDoubleSeconds(SystemClock().Monotonic() - begin));
  ASSIGN_OR_RETURN(const Results calm, ReadResults(JoinPath(directory, "calm")));
  report.set_runs(static_cast<int32_t>(calm.size()));
  if (!options.chaos) return report;

  ChaosOptions chaos_options;
  chaos_options.scheduler_dir = JoinPath(directory, "chaos");
  chaos_options.worker_dirs = {JoinPath(directory, "chaos/worker")};
  chaos_options.seed = options.seed;
  chaos_options.strikes = options.strikes;
  chaos_options.pause = absl::Seconds(options.pause_s);
  chaos_options.longest_stop = kLongestStop;
  Chaos chaos(chaos_options, SystemClock());
  const absl::Duration middle = SystemClock().Monotonic();
  RETURN_IF_ERROR(RunSweep(directory, "chaos", options, [&] {
    SleepUnlessInterrupted(absl::Milliseconds(50));
    if (Interrupts() == 0) chaos.Tick();
  }));
  report.set_chaos_s(absl::ToDoubleSeconds(SystemClock().Monotonic() - middle));
  for (const auto& [act, times] : chaos.acts()) (*report.mutable_acts())[act] = times;
  report.set_strikes(chaos.strikes());
  ASSIGN_OR_RETURN(const Results after, ReadResults(JoinPath(directory, "chaos")));
  for (const auto& [name, result] : calm) {
    const auto other = after.find(name);
    if (other == after.end() || other->second != result) report.add_different(name);
  }
  return report;
}

void PrintReport(const v1::SelftestReport& report, const Options& options) {
  PrintLine(absl::StrCat(Plural(report.runs(), "run"), " trained in ",
                         FormatElapsed(absl::Seconds(report.calm_s())), ", all succeeded"));
  if (!options.chaos) return;
  PrintLine(absl::StrCat("once more in ", FormatElapsed(absl::Seconds(report.chaos_s())), " while ",
                         Plural(report.strikes(), "time"), " something was done to them:"));
  for (const auto& [act, times] :
       std::map<std::string, int32_t>(report.acts().begin(), report.acts().end())) {
    PrintLine(absl::StrCat("  ", times, " x ", act));
  }
  if (report.different().empty()) {
    PrintLine("the same results, byte for byte");
  } else {
    for (const std::string& name : report.different()) PrintLine(absl::StrCat("DIFFERENT: ", name));
  }
}

absl::StatusOr<int> Run(const GlobalOptions& global, const Options& options) {
  std::string directory = (std::filesystem::temp_directory_path() / "qsweep-selftest-XXXXXX");
  if (::mkdtemp(directory.data()) == nullptr) return ErrnoStatus(errno, directory, "create");
  const absl::StatusOr<v1::SelftestReport> report = RunAll(directory, options);
  if (!report.ok() || !report->different().empty()) {
    Note(absl::StrCat("Everything is left for a look in ", directory));
  } else {
    RETURN_IF_ERROR(RemoveTree(directory));
  }
  RETURN_IF_ERROR(report.status());
  if (global.json) {
    PrintJson(*report);
  } else {
    PrintReport(*report, options);
  }
  return report->different().empty() ? kExitGood : kExitError;
}

}  // namespace

void AddSelftest(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command =
      line.Add("selftest", absl::StrCat("train a small sweep on ", kDataset, ": a minute or two"),
               [&global = line.options, options] { return Run(global, *options); });
  command.AddFlag("--chaos", &options->chaos,
                  "and once more while its processes are killed and stopped; compare the results");
  command.AddOption("--seed", &options->seed, "of the chaos");
  command.AddOption("--strikes", &options->strikes, "at most; then it is left to end")
      .Between(1, 10'000);
  command.AddOption("--pause", &options->pause_s, "seconds between two strikes, on average")
      .Between(0.1, 60.0);
  command.AddOption("--data-root", &options->data_root, "directory of datasets");
}

}  // namespace qsweep::qctl
