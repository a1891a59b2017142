#include "common/subprocess.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr int64_t kMaxOutputBytes = 1 << 20;

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// A name given twice would be read as either, getenv taking the first and shells the last.
std::vector<std::string> Environment(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  for (char** e = environ; *e != nullptr; ++e) {
    const absl::string_view entry(*e);
    const absl::string_view name = entry.substr(0, entry.find('=') + 1);
    const auto replaces = [name](absl::string_view a) { return absl::StartsWith(a, name); };
    if (std::none_of(added.begin(), added.end(), replaces)) all.emplace_back(*e);
  }
  return all;
}

// Between fork and exec: only async-signal-safe calls. Reports errno through the pipe.
[[noreturn]] void ExecChild(const SubprocessOptions& options, char** argv, char** env, int report) {
  const auto fail = [report] {
    const int error = errno;
    (void)!::write(report, &error, sizeof error);
    ::_exit(127);
  };
  ::setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const auto redirect = [&fail](const std::string& path, int flags, int to) {
    const int fd = ::open(path.empty() ? "/dev/null" : path.c_str(), flags, 0644);
    if (fd < 0 || ::dup2(fd, to) < 0) fail();
    if (fd != to) ::close(fd);
  };
  redirect("", O_RDONLY, STDIN_FILENO);
  redirect(options.stdout_path, O_WRONLY | O_CREAT | O_APPEND, STDOUT_FILENO);
  redirect(options.stderr_path, O_WRONLY | O_CREAT | O_APPEND, STDERR_FILENO);
  if (!options.working_directory.empty() && ::chdir(options.working_directory.c_str()) != 0) fail();
  ::execve(argv[0], argv, env);
  fail();
  ::_exit(127);
}

}  // namespace

absl::StatusOr<pid_t> StartSubprocess(const SubprocessOptions& options) {
  QSWEEP_CHECK(!options.argv.empty());
  const std::vector<std::string> environment = Environment(options.environment);
  std::vector<char*> argv = Pointers(options.argv);
  std::vector<char*> env = Pointers(environment);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, options.argv[0], "pipe");
  FileDescriptor read_end(ends[0]), write_end(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, options.argv[0], "fork");
  if (pid == 0) ExecChild(options, argv.data(), env.data(), write_end.get());
  write_end.Close();
  int error = 0;
  ssize_t n;
  do {
    n = ::read(read_end.get(), &error, sizeof error);
  } while (n < 0 && errno == EINTR);
  if (n == 0) return pid;
  ::waitpid(pid, nullptr, 0);
  return ErrnoStatus(error, options.argv[0], "start");
}

absl::StatusOr<std::optional<ExitStatus>> PollSubprocess(pid_t pid) {
  int status = 0;
  const pid_t got = ::waitpid(pid, &status, WNOHANG);
  if (got < 0) return ErrnoStatus(errno, absl::StrCat("process ", pid), "wait");
  if (got == 0) return std::nullopt;
  ExitStatus exit;
  if (WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
  if (WIFEXITED(status)) exit.exit_code = WEXITSTATUS(status);
  return exit;
}

absl::StatusOr<ExitStatus> WaitSubprocess(pid_t pid, absl::Duration timeout) {
  const absl::Duration deadline = SystemClock().Monotonic() + timeout;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<ExitStatus> exit, PollSubprocess(pid));
    if (exit) return *exit;
    if (SystemClock().Monotonic() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat("process ", pid, " still runs"));
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
}

absl::StatusOr<std::string> RunForOutput(const std::vector<std::string>& argv,
                                         absl::Duration timeout,
                                         const std::string& working_directory) {
  // Files in memory: a process that is killed leaves nothing on the disk.
  const FileDescriptor out(::memfd_create("out", MFD_CLOEXEC));
  const FileDescriptor err(::memfd_create("err", MFD_CLOEXEC));
  if (!out.valid() || !err.valid()) return ErrnoStatus(errno, argv[0], "make files for");
  SubprocessOptions options;
  options.argv = argv;
  options.working_directory = working_directory;
  options.stdout_path = absl::StrCat("/proc/self/fd/", out.get());
  options.stderr_path = absl::StrCat("/proc/self/fd/", err.get());
  ASSIGN_OR_RETURN(const pid_t pid, StartSubprocess(options));
  const absl::StatusOr<ExitStatus> exit = WaitSubprocess(pid, timeout);
  if (!exit.ok()) {
    ::kill(-pid, SIGKILL);  // and its children: the session is its own
    ::waitpid(pid, nullptr, 0);
    return Annotate(exit.status(), argv[0]);
  }
  if (exit->signal != 0 || exit->exit_code != 0) {
    std::string tail = ReadFile(options.stderr_path, kMaxOutputBytes).value_or("");
    if (tail.size() > 2000) tail = tail.substr(tail.size() - 2000);
    return absl::InternalError(
        absl::StrCat(argv[0], " ended with ", exit->signal ? "signal " : "exit code ",
                     exit->signal ? exit->signal : exit->exit_code, ": ", tail));
  }
  return ReadFile(options.stdout_path, kMaxOutputBytes);
}

std::string ProgramDirectory() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

}  // namespace qsweep
