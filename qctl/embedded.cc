#include "qctl/embedded.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/attempt_dir.h"
#include "common/clock.h"
#include "common/data_dir.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/rpc.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "qctl/client.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace fs = std::filesystem;
namespace {

// A large database is recovered before the scheduler answers.
constexpr absl::Duration kAnswerTimeout = absl::Minutes(2);
constexpr absl::Duration kPingTimeout = absl::Seconds(2);
// By then one that another command starts just now has said where it listens.
constexpr absl::Duration kElsewhere = absl::Seconds(2);

std::string WorkerDirectory(const std::string& data_dir) { return JoinPath(data_dir, "worker"); }

// Its own directory holds its lock.
DaemonOptions MakeDaemon(const std::string& data_dir, const std::string& name,
                         const std::string& directory, std::vector<std::string> arguments) {
  DaemonOptions daemon;
  daemon.name = name;
  daemon.argv = {JoinPath(ProgramDirectory(), absl::StrCat("q", name))};
  std::move(arguments.begin(), arguments.end(), std::back_inserter(daemon.argv));
  daemon.lock_path = JoinPath(directory, kDaemonLockFile);
  daemon.log_path = JoinPath(data_dir, absl::StrCat(name, ".log"));
  daemon.argv.insert(daemon.argv.end(), {"--log-file", daemon.log_path});
  daemon.marks = JoinPath(data_dir, absl::StrCat(".qctl/", name));
  return daemon;
}

// A trainer holds its attempt's lock for as long as it lives.
void KillTrainers(const std::string& worker_dir) {
  std::error_code error;
  for (fs::recursive_directory_iterator it(worker_dir, error), end; !error && it != end;
       it.increment(error)) {
    const std::string path = it->path().string();
    if (it->path().filename() != kLockFile || !FileLock::IsHeld(path)) continue;
    if (const pid_t pid = FileLock::Holder(path); pid > 0) ::kill(pid, SIGKILL);
  }
}

}  // namespace

absl::StatusOr<std::string> SocketPath(const std::string& data_dir) {
  const std::string path = JoinPath(data_dir, kSocketFile);
  const bool plain = std::all_of(path.begin(), path.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '/' || c == '.' || c == '-' || c == '_';
  });
  if (plain && path.size() <= kMaxSocketPath) return path;
  const std::string directory = absl::StrCat("/tmp/qsweep-", ::getuid());
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, directory, "create");
  }
  struct stat info;
  if (::lstat(directory.c_str(), &info) != 0) return ErrnoStatus(errno, directory, "stat");
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::getuid() || (info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        directory,
        ": not a directory that only you can use; remove it or give --data-dir a shorter path"));
  }
  return absl::StrCat(directory, "/", Sha256Hex(data_dir).substr(0, 16), ".sock");
}

absl::StatusOr<std::unique_ptr<Embedded>> Embedded::Open(const std::string& data_dir, bool create) {
  // A scheduler that is just starting has its lock first.
  if (!create && !PathExists(JoinPath(data_dir, kDatabaseFile)) &&
      !PathExists(JoinPath(data_dir, kDaemonLockFile))) {
    return absl::NotFoundError(absl::StrCat(
        data_dir,
        ": no data directory; `qctl run FILE` makes one, --data-dir names another, --scheduler a "
        "scheduler elsewhere"));
  }
  const bool made = !PathExists(data_dir);
  RETURN_IF_ERROR(MakeDirectories(JoinPath(data_dir, ".qctl")));
  // As a scheduler makes its own.
  if (made && ::chmod(data_dir.c_str(), 0700) != 0) return ErrnoStatus(errno, data_dir, "chmod");
  std::error_code error;
  const std::string absolute = fs::canonical(data_dir, error).string();
  if (error) return ErrnoStatus(error.value(), data_dir, "resolve");
  ASSIGN_OR_RETURN(const std::string socket, SocketPath(absolute));
  const std::string address = absl::StrCat(kSocketPrefix, socket);
  ASSIGN_OR_RETURN(SharedDaemon scheduler,
                   SharedDaemon::Use(MakeDaemon(absolute, "scheduler", absolute,
                                                {"--data-dir", absolute, "--listen", address})));
  std::unique_ptr<Embedded> embedded(new Embedded(absolute, address, std::move(scheduler)));
  RETURN_IF_ERROR(embedded->Restore());
  return embedded;
}

Embedded::~Embedded() {
  (void)Close([] { return Interrupts() > 1; });
}

absl::Status Embedded::CheckAddress() const {
  const std::string listens = ReadFile(JoinPath(data_dir_, kAddressFile), 1 << 16).value_or("");
  if (scheduler_->started_here() || listens.empty() || absl::StrContains(listens, address_)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(data_dir_, ": its scheduler was not started by qctl and listens on ",
                   listens.substr(0, listens.find('\n')), " alone; name it with --scheduler"));
}

absl::Status Embedded::Restore() {
  const absl::Duration begin = SystemClock().Monotonic();
  while (true) {
    // A channel of its own each time: it would wait seconds before it tries a socket again.
    const absl::Status status = Client(MakeChannel(address_)).Ping(kPingTimeout);
    if (!IsUnreachable(status)) return status;
    const absl::Duration waited = SystemClock().Monotonic() - begin;
    if (waited > kAnswerTimeout) return Annotate(status, "the scheduler does not answer");
    RETURN_IF_ERROR(KeepRunning());
    if (waited > kElsewhere) RETURN_IF_ERROR(CheckAddress());
    SleepUnlessInterrupted(absl::Milliseconds(20));
    if (Interrupts() > 0) return InterruptedError();
  }
}

absl::StatusOr<bool> Embedded::UseWorker(const std::vector<std::string>& flags) {
  const std::string state_dir = WorkerDirectory(data_dir_);
  RETURN_IF_ERROR(MakeDirectories(state_dir));
  std::vector<std::string> arguments = {"--scheduler", address_, "--state-dir", state_dir};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  ASSIGN_OR_RETURN(SharedDaemon worker, SharedDaemon::Use(MakeDaemon(data_dir_, "worker", state_dir,
                                                                     std::move(arguments))));
  worker_ = std::move(worker);
  return worker_->started_here();
}

absl::Status Embedded::KeepRunning() {
  RETURN_IF_ERROR(scheduler_->KeepRunning());
  return worker_ ? worker_->KeepRunning() : absl::OkStatus();
}

absl::StatusOr<bool> Embedded::Close(const std::function<bool()>& impatient) {
  bool killed = false;
  const auto kill = [&] { return killed = killed || impatient(); };
  absl::StatusOr<bool> worker_gone = true;
  const std::string worker_dir = WorkerDirectory(data_dir_);
  if (worker_) {
    worker_gone = worker_->Release(kill);
    worker_.reset();
    if (killed) KillTrainers(worker_dir);
  }
  // A worker that runs on, for another command or left behind by a killed one, needs its scheduler.
  if (scheduler_ && !SharedDaemon::IsRunning(MakeDaemon(data_dir_, "worker", worker_dir, {}))) {
    RETURN_IF_ERROR(scheduler_->Release(kill).status());
  }
  scheduler_.reset();
  return worker_gone;
}

}  // namespace qsweep::qctl
