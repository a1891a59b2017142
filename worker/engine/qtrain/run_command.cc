#include <signal.h>

#include <atomic>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/reporter.h"
#include "worker/engine/train/sensitivity.h"

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
  // Errors of the write in question, not the death of the process.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

absl::StatusOr<TrainOutcome> ReadSpecAndTrain(const std::string& spec_file,
                                              const TrainOptions& options, Reporter& reporter) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(spec_file, kMaxSpecBytes));
  const absl::StatusOr<v1::ExperimentSpec> spec = ParseSpecJson(json);
  if (!spec.ok()) return Annotate(spec.status(), spec_file);
  const auto stop = [] { return stop_requested.load(); };
  return spec->training().method() == "sensitivity" ? RunSensitivity(*spec, options, stop, reporter)
                                                    : Train(*spec, options, stop, reporter);
}

int Usage(const absl::Status& status) {
  std::fprintf(stderr, "qtrain: %s\n", std::string(status.message()).c_str());
  return kExitUsage;
}

}  // namespace

int RunCommand(const std::string& spec_file, const TrainOptions& options) {
  HandleSignals();
  if (const absl::Status made = MakeDirectories(options.directory); !made.ok()) return Usage(made);
  const auto lock = FileLock::Acquire(JoinPath(options.directory, kLockFile));
  if (!lock.ok()) return Usage(lock.status());
  absl::StatusOr<Reporter> reporter = Reporter::Create(options.directory);
  if (!reporter.ok()) return Usage(reporter.status());

  const absl::StatusOr<TrainOutcome> outcome = ReadSpecAndTrain(spec_file, options, *reporter);
  if (outcome.ok()) {
    if (*outcome == TrainOutcome::kFinished) return kExitFinished;
    Say("stopped; continue in a new directory with --resume the last checkpoint");
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

}  // namespace qsweep::engine
