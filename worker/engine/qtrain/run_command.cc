#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>

#include "absl/strings/match.h"
#include "common/attempt_dir.h"
#include "common/command_line.h"
#include "common/file.h"
#include "common/status.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/qtrain/spec_options.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/reporter.h"
#include "worker/engine/train/sensitivity.h"
#include "worker/engine/train/trainer.h"

namespace qsweep::engine {
namespace {

std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);  // set by a signal handler

void RequestStop(int number) {
  stop_requested = true;
  // Whoever presses Ctrl-C twice does not want to wait. SIGTERM comes from whoever supervises, and
  // may come twice: from an agent and from the next one, or from systemd too.
  if (number == SIGINT) signal(SIGINT, SIG_DFL);
}

void HandleSignals() {
  signal(SIGTERM, RequestStop);
  signal(SIGINT, RequestStop);
  // An error of the write in question, not the death of the process.
  signal(SIGPIPE, SIG_IGN);
}

absl::StatusOr<TrainOutcome> ReadSpecAndTrain(const std::string& spec_file,
                                              const TrainOptions& options, Reporter& reporter) {
  ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, LoadSpec(spec_file, options.weights_file));
  const auto stop = [] { return stop_requested.load(); };
  if (spec.training().method() != "sensitivity") return Train(spec, options, stop, reporter);
  if (options.resume_file.empty()) return RunSensitivity(spec, options, stop, reporter);
  return absl::InvalidArgumentError(
      "--resume: training.method: sensitivity writes no checkpoints; begin it anew");
}

bool HoldsCheckpoint(const std::string& directory) {
  const auto names = ListDirectory(directory);
  return names.ok() && std::any_of(names->begin(), names->end(), [](const std::string& name) {
           return absl::StartsWith(name, "checkpoint-");
         });
}

int Usage(const absl::Status& status) {
  std::fprintf(stderr, "qtrain: %s\n", std::string(status.message()).c_str());
  return kExitUsage;
}

int Run(const std::string& spec_file, const TrainOptions& options) {
  HandleSignals();
  if (const absl::Status made = MakeDirectories(options.directory); !made.ok()) return Usage(made);
  const auto lock = FileLock::Acquire(JoinPath(options.directory, kLockFile));
  if (!lock.ok()) return Usage(lock.status());
  absl::StatusOr<Reporter> reporter = Reporter::Create(options.directory);
  if (!reporter.ok()) return Usage(reporter.status());

  const absl::StatusOr<TrainOutcome> outcome = ReadSpecAndTrain(spec_file, options, *reporter);
  if (outcome.ok()) {
    if (*outcome == TrainOutcome::kFinished) return kExitFinished;
    Say(HoldsCheckpoint(options.directory)
            ? "stopped; continue in a new directory with --resume the last checkpoint"
            : "stopped before there was a checkpoint to continue from");
    return kExitStopped;
  }
  const v1::Blame blame = BlameOf(outcome.status());
  const std::string message(outcome.status().message());
  std::fprintf(stderr, "qtrain: failed: %s\n", message.c_str());
  const absl::Status reported = reporter->Failed(blame, message);
  if (!reported.ok()) {
    std::fprintf(stderr, "qtrain: %s\n", std::string(reported.message()).c_str());
  }
  return kExitFailed;
}

}  // namespace

void AddRun(Command program, std::function<int()>* run) {
  struct Options {
    std::string spec;
    TrainOptions train{.data_root = kDataRoot, .model_root = kModelRoot};
  };
  const auto o = std::make_shared<Options>();
  Command command = program.AddCommand("run", "Train the run that a spec file describes",
                                       [o, run] { *run = [o] { return Run(o->spec, o->train); }; });
  AddSpec(command, &o->spec);
  command.AddOption("--dir", &o->train.directory, "attempt directory, new for every attempt")
      .Required();
  AddThreads(command, &o->train.threads);
  AddMemoryLimit(command, &o->train.memory_limit_bytes);
  AddDevice(command, &o->train.device);
  AddRoots(command, &o->train.data_root, &o->train.model_root);
  command.AddOption("--resume", &o->train.resume_file, "checkpoint to continue from");
  command.AddOption("--weights", &o->train.weights_file, "safetensors file to start from");
}

}  // namespace qsweep::engine
