#include "qctl/shared_daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(10);
constexpr absl::Duration kStartTimeout = absl::Seconds(30);
// A daemon that lives shorter than kEarly was not able to start; longer than kLongLived, it had.
constexpr absl::Duration kEarly = absl::Seconds(1);
constexpr absl::Duration kLongLived = absl::Minutes(1);
constexpr int kMaxDeaths = 3;
constexpr int kLogLines = 8;

// Takes the start lock, waiting for whoever has it.
absl::StatusOr<FileLock> LockStart(const std::string& marks) {
  const std::string path = absl::StrCat(marks, ".start");
  const absl::Duration deadline = SystemClock().Monotonic() + kStartTimeout;
  while (true) {
    absl::StatusOr<FileLock> lock = FileLock::Acquire(path);
    if (lock.ok() || !absl::IsUnavailable(lock.status())) return lock;
    if (SystemClock().Monotonic() > deadline) return lock.status();
    absl::SleepFor(kPoll);
  }
}

// The daemon that a command started and that runs now; 0 if none. Under the start lock or the
// exclusive users lock only: probing a lock could make a daemon that just starts believe it is
// taken.
pid_t StartedPid(const DaemonOptions& options) {
  if (!FileLock::IsHeld(options.lock_path)) return 0;
  const pid_t pid = FileLock::Holder(absl::StrCat(options.marks, ".pid"));
  return pid == FileLock::Holder(options.lock_path) ? pid : 0;
}

// The last lines of the log from `begin` on, each after a line break; empty if there are none.
std::string LogTail(const std::string& path, int64_t begin) {
  const auto log = ReadFile(path, 1 << 26);
  if (!log.ok()) return "";
  std::vector<std::string> lines =
      absl::StrSplit(log->substr(std::min<size_t>(log->size(), static_cast<size_t>(begin))), '\n',
                     absl::SkipWhitespace());
  if (lines.size() > kLogLines) lines.erase(lines.begin(), lines.end() - kLogLines);
  return lines.empty() ? "" : absl::StrCat("\n  ", absl::StrJoin(lines, "\n  "));
}

}  // namespace

absl::StatusOr<SharedDaemon> SharedDaemon::Use(DaemonOptions options) {
  SharedDaemon daemon(std::move(options));
  const std::string users = absl::StrCat(daemon.options_.marks, ".users");
  daemon.users_ = FileDescriptor(::open(users.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!daemon.users_.valid()) return ErrnoStatus(errno, users, "open");
  // Waits while another command, the last one, stops the daemon.
  while (::flock(daemon.users_.get(), LOCK_SH | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, users, "flock");
    if (Interrupts() > 0) return InterruptedError();
    absl::SleepFor(kPoll);
  }
  RETURN_IF_ERROR(daemon.StartUnlessRunning());
  return daemon;
}

bool SharedDaemon::IsRunning(const DaemonOptions& options) {
  const auto lock = LockStart(options.marks);
  return lock.ok() && FileLock::IsHeld(options.lock_path);
}

absl::Status SharedDaemon::StartUnlessRunning() {
  ASSIGN_OR_RETURN(const FileLock lock, LockStart(options_.marks));
  if (FileLock::IsHeld(options_.lock_path)) return absl::OkStatus();
  return Start();
}

absl::Status SharedDaemon::Start() {
  log_begin_ = FileSize(options_.log_path).value_or(0);
  SubprocessOptions subprocess;
  subprocess.argv = options_.argv;
  subprocess.stdout_path = subprocess.stderr_path = options_.log_path;
  ASSIGN_OR_RETURN(child_, StartSubprocess(subprocess));
  started_at_ = SystemClock().Monotonic();
  RETURN_IF_ERROR(
      WriteFileAtomic(absl::StrCat(options_.marks, ".pid"), absl::StrCat(child_, "\n")));
  while (FileLock::Holder(options_.lock_path) != child_) {
    if (ChildEnded()) return DiedError();
    if (SystemClock().Monotonic() - started_at_ > kStartTimeout) {
      // Or it would come up when nobody uses it.
      ::kill(child_, SIGKILL);
      while (!ChildEnded()) absl::SleepFor(kPoll);
      return DiedError();
    }
    absl::SleepFor(kPoll);
  }
  return absl::OkStatus();
}

absl::Status SharedDaemon::DiedError() const {
  return absl::InternalError(absl::StrCat("the ", options_.name, " could not go on; ",
                                          options_.log_path,
                                          " ends in:", LogTail(options_.log_path, log_begin_)));
}

bool SharedDaemon::ChildEnded() {
  if (child_ == 0) return true;
  const absl::StatusOr<std::optional<ExitStatus>> exit = PollSubprocess(child_);
  if (exit.ok() && !exit->has_value()) return false;
  const absl::Duration lived = SystemClock().Monotonic() - started_at_;
  // Killed by somebody else is no fault of its own, unless it cannot even start.
  const bool killed = exit.ok() && (*exit)->signal == SIGKILL && lived > kEarly;
  deaths_ = lived > kLongLived ? 0 : deaths_ + (killed ? 0 : 1);
  child_ = 0;
  return true;
}

absl::Status SharedDaemon::KeepRunning() {
  if (child_ != 0 && !ChildEnded()) return absl::OkStatus();
  if (deaths_ >= kMaxDeaths) return DiedError();
  const absl::Status status = StartUnlessRunning();
  // One that died before it held its lock is tried again by the next call.
  return absl::IsInternal(status) && deaths_ > 0 && deaths_ < kMaxDeaths ? absl::OkStatus()
                                                                         : status;
}

absl::StatusOr<bool> SharedDaemon::Release(const std::function<bool()>& impatient) {
  const FileDescriptor users = std::move(users_);
  if (::flock(users.get(), LOCK_EX | LOCK_NB) != 0) return false;
  // Our own may hold no lock, as while it waits for room on the disk.
  const bool own = !ChildEnded();
  const pid_t pid = own ? child_ : StartedPid(options_);
  if (pid == 0) return true;
  int signal = SIGTERM;
  if (::kill(pid, signal) != 0) return ErrnoStatus(errno, options_.name, "stop");
  while (own ? !ChildEnded() : FileLock::IsHeld(options_.lock_path)) {
    if (signal == SIGTERM && impatient()) ::kill(pid, signal = SIGKILL);
    SleepUnlessInterrupted(kPoll);
  }
  return true;
}

}  // namespace qsweep::qctl
