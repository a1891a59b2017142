#include "worker/agent/trainer.h"

#include <fcntl.h>
#include <signal.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"
#include "worker/agent/state_directory.h"

namespace qsweep {
namespace {

std::vector<std::string> CommandLine(const std::string& directory, const TrainerOptions& options) {
  std::vector<std::string> argv = {options.qtrain,   "run",
                                   "--spec",         JoinPath(directory, kSpecFile),
                                   "--dir",          directory,
                                   "--threads",      absl::StrCat(options.threads),
                                   "--memory-limit", absl::StrCat(options.memory_limit_bytes)};
  const auto add = [&argv](const char* flag, const std::string& value) {
    argv.push_back(flag);
    argv.push_back(value);
  };
  if (!options.data_root.empty()) add("--data-root", options.data_root);
  if (!options.model_root.empty()) add("--model-root", options.model_root);
  const std::string resume = JoinPath(directory, kResumeFile);
  const std::string weights = JoinPath(directory, kWeightsFile);
  if (PathExists(resume)) add("--resume", resume);
  if (PathExists(weights)) add("--weights", weights);
  return argv;
}

}  // namespace

absl::StatusOr<Trainer> Trainer::Start(const std::string& directory,
                                       const TrainerOptions& options) {
  // The trainer inherits this lock and so holds it to its end, without doing anything for it: from
  // before it exists there is no instant at which a living trainer looks like none. Its own lock it
  // takes only after a while, and probing that could make it fail.
  const std::string running = JoinPath(directory, kRunningFile);
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(running));
  if (::fcntl(lock.fd(), F_SETFD, 0) != 0) return ErrnoStatus(errno, running, "fcntl");
  SubprocessOptions process;
  process.argv = CommandLine(directory, options);
  if (std::getenv(kSpinCountVariable) == nullptr && std::getenv("OMP_WAIT_POLICY") == nullptr) {
    process.environment = {absl::StrCat(kSpinCountVariable, "=", kSpinCount)};
  }
  process.stdout_path = process.stderr_path = JoinPath(directory, kOutputFile);
  ASSIGN_OR_RETURN(const pid_t pid, StartSubprocess(process));
  return Trainer(directory, pid);
}

bool Trainer::WasStarted(const std::string& directory) {
  return PathExists(JoinPath(directory, kRunningFile));
}

bool Trainer::Alive() {
  if (gone_) return false;
  if (child_ == 0) {
    gone_ = !FileLock::IsHeld(JoinPath(directory_, kRunningFile));
  } else if (const auto exit = PollSubprocess(child_); !exit.ok()) {
    LogError(exit.status().message());
    gone_ = true;
  } else if (exit->has_value()) {
    exit_ = **exit;
    gone_ = true;
  }
  return !gone_;
}

pid_t Trainer::pid() const {
  return child_ != 0 ? child_ : FileLock::Holder(JoinPath(directory_, kLockFile));
}

bool Trainer::Signal(int signal) const {
  const pid_t to = pid();
  return !gone_ && to > 0 && ::kill(to, signal) == 0;
}

}  // namespace qsweep
