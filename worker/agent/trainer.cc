#include "worker/agent/trainer.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

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

// OpenMP's idle threads spin for some 7 ms before they sleep, each on a core that another run could
// use. About 0.1 ms spans the gap between two kernels. Where a step's products are shared by the
// threads (a batch of one, two other processes on two cores) a run makes 4.5 images/s so, and 3.0
// to 3.7 otherwise. libgomp reads this when it is loaded.
constexpr char kSpinCountVariable[] = "GOMP_SPINCOUNT";
constexpr char kSpinCount[] = "4000";

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
  if (!options.device.empty()) add("--device", options.device);
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
    return !gone_;
  }
  if (!reaped_) {
    const auto exit = PollSubprocess(child_);
    if (exit.ok() && !exit->has_value()) return true;
    if (exit.ok()) exit_ = **exit;
    if (!exit.ok()) LogError(exit.status().message());
    reaped_ = true;
  }
  // A wrapper, such as a shell script, may die of SIGTERM while its trainer writes a checkpoint.
  gone_ = !FileLock::IsHeld(JoinPath(directory_, kLockFile));
  if (gone_) ::kill(-child_, SIGKILL);  // or it would write where another attempt is to be
  return !gone_;
}

pid_t Trainer::pid() const {
  return child_ != 0 && !reaped_ ? child_ : FileLock::Holder(JoinPath(directory_, kLockFile));
}

bool Trainer::Signal(int signal) const {
  const pid_t to = pid();
  if (gone_ || to <= 0) return false;
  const pid_t group = ::getpgid(to);
  return ::kill(group > 0 && group != ::getpgrp() ? -group : to, signal) == 0;
}

}  // namespace qsweep
