// qscheduler: owns the experiment matrix, run states, metrics and artifacts.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/data_dir.h"
#include "common/disk_reserve.h"
#include "common/file.h"
#include "common/log.h"
#include "common/shutdown.h"
#include "common/start.h"
#include "common/status.h"
#include "common/version.h"
#include "scheduler/init.h"
#include "scheduler/scheduler.h"
#include "scheduler/security.h"

namespace qsweep {
namespace {

constexpr int kExitError = 1;
constexpr int64_t kLeastRoom = 4 << 20;  // to start with: a log as long as it grows
constexpr absl::Duration kRoomInterval = absl::Seconds(1);

struct Flags {
  std::string data_directory;
  std::vector<std::string> listen = {absl::StrCat("127.0.0.1:", kDefaultPort)};
  bool insecure = false;
  bool forget_lost_artifacts = false;
  int64_t lease_ms = 60'000;
  int64_t heartbeat_ms = 5'000;
  int64_t disk_reserve = DiskReserve::kDefaultBytes;
  std::string metrics_address;
  std::string log_file;
  InitOptions init;
  std::string check_path;
};

using Action = std::function<int(const Flags&)>;

int Fail(const absl::Status& status) {
  LogError(status.message());
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitError;
}

absl::StatusOr<SchedulerOptions> MakeOptions(const Flags& flags) {
  SchedulerOptions options;
  if (flags.data_directory.empty()) return absl::InvalidArgumentError("--data-dir is required");
  for (const std::string& text : flags.listen) {
    const absl::StatusOr<std::string> listen = ParseAddress(text);
    if (!listen.ok()) return Annotate(listen.status(), "--listen");
    options.listen.push_back(*listen);
  }
  if (flags.heartbeat_ms * 3 > flags.lease_ms) {
    return absl::InvalidArgumentError("--lease-ms: must be at least three times --heartbeat-ms");
  }
  options.insecure = flags.insecure;
  options.data_directory = std::filesystem::absolute(flags.data_directory);
  options.policy.lease = absl::Milliseconds(flags.lease_ms);
  options.heartbeat_ms = flags.heartbeat_ms;
  options.disk_reserve_bytes = flags.disk_reserve;
  options.metrics_address = flags.metrics_address;
  options.forget_lost_artifacts = flags.forget_lost_artifacts;
  return options;
}

// Every worker has two connections, and gRPC closes a port for good that it once could not accept
// one from.
void AllowManyConnections() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);
}

// False if it is to stop meanwhile.
bool AwaitRoom(const std::string& directory) {
  bool told = false;
  while (FreeDiskBytes(directory).value_or(kLeastRoom) < kLeastRoom) {
    if (!std::exchange(told, true)) LogError("waits for room on the disk");
    if (WaitForShutdownSignal(kRoomInterval) != 0) return false;
  }
  if (told) LogInfo("there is room on the disk again");
  return true;
}

// The disk is full to the last byte: one commit failed, as a whole, and nobody was told that it had
// not. Goes on as after a crash, in the same process, when there is room.
[[noreturn]] void StartAgain(const absl::Status& why, char** argv) {
  LogError(absl::StrCat(why.message(), "; starts again"));
  if (WaitForShutdownSignal(kRoomInterval) != 0) std::_Exit(0);
  ::execv("/proc/self/exe", argv);
  std::_Exit(kExitError);
}

int Serve(const Flags& flags, char** argv) {
  BlockShutdownSignals();
  AllowManyConnections();
  if (!flags.log_file.empty()) {
    if (const absl::Status status = SetLogFile(flags.log_file); !status.ok()) return Fail(status);
  }
  const absl::StatusOr<SchedulerOptions> options = MakeOptions(flags);
  if (!options.ok()) return Fail(options.status());
  if (!AwaitRoom(options->data_directory)) return 0;
  const absl::StatusOr<std::unique_ptr<Scheduler>> scheduler =
      Scheduler::Start(*options, SystemClock());
  if (absl::IsResourceExhausted(scheduler.status())) StartAgain(scheduler.status(), argv);
  if (!scheduler.ok()) return Fail(scheduler.status());
  LogInfo(absl::StrCat("qsweep ", kVersion, " serves ", flags.data_directory, " on ",
                       absl::StrJoin((*scheduler)->addresses(), " and ")));
  int signal = 0;
  while (signal == 0) {
    signal = WaitForShutdownSignal(absl::Milliseconds(200));
    const absl::Status status = (*scheduler)->status();  // if it is not OK, it has been logged
    if (absl::IsResourceExhausted(status)) StartAgain(status, argv);
    if (!status.ok()) std::_Exit(kExitError);
  }
  LogInfo("stopping");
  return 0;
}

int Init(const Flags& flags) {
  InitOptions options = flags.init;
  options.data_directory = flags.data_directory;
  if (options.data_directory.empty()) {
    return Fail(absl::InvalidArgumentError("--data-dir is required"));
  }
  if (options.port == 0) options.port = FormerPort(options.data_directory);
  const absl::StatusOr<std::string> invitation = InitDataDirectory(options, SystemClock());
  if (!invitation.ok()) return Fail(invitation.status());
  std::printf(
      "%s is ready for a network; ca.key in its security/ must never leave this machine. Start it "
      "with\n\n"
      "  qscheduler --data-dir %s --listen 0.0.0.0:%d --listen unix:%s/%s\n\n"
      "and become its administrator, on any machine, with this line (it is a secret):\n\n"
      "  qctl login %s\n\n"
      "Then `qctl workers invite NAME` lets machines in and `qctl tokens create NAME` people.\n",
      options.data_directory.c_str(), options.data_directory.c_str(), options.port,
      options.data_directory.c_str(), kSocketFile, invitation->c_str());
  return 0;
}

int Check(const Flags& flags) {
  const absl::Status status = CheckDatabaseAt(flags.check_path);
  if (!status.ok()) return Fail(status);
  std::printf("%s: whole\n", flags.check_path.c_str());
  return 0;
}

void AddOptions(Command program, Flags& flags) {
  program.AddOption("--data-dir", &flags.data_directory,
                    "database and artifacts; made if missing; must be given, to init, too");
  program.AddOption("--listen", &flags.listen,
                    "HOST:PORT (port 0: any that is free) or unix:PATH; may be given again");
  program.AddFlag("--insecure", &flags.insecure,
                  "neither TLS nor tokens, though other machines may reach an address");
  program
      .AddOption("--lease-ms", &flags.lease_ms,
                 "how long a worker may be silent before its runs go elsewhere; at least three "
                 "times --heartbeat-ms")
      .Between(100, 86'400'000);
  program.AddOption("--heartbeat-ms", &flags.heartbeat_ms, "how often workers say that they live")
      .Between(10, 3'600'000);
  program.AddBytes("--disk-reserve", &flags.disk_reserve,
                   "with less of the disk free no new work is taken, as in 512M");
  program.AddOption(
      "--metrics", &flags.metrics_address,
      "HOST:PORT of a page for Prometheus, /metrics; numbers only, open to all who reach "
      "it (default: none)");
  program.AddFlag(
      "--forget-lost-artifacts", &flags.forget_lost_artifacts,
      "start though most files of artifacts/ are gone for good: runs go on from what is "
      "left of their checkpoints, or begin again");
  program.AddOption("--log-file", &flags.log_file, LogFileHelp());
}

void AddCommands(Command program, Flags& flags, Action& action) {
  Command init = program.AddCommand(
      "init", "make what it takes to listen on a network: authority, certificate, a token",
      [&action] { action = Init; });
  init.AddOption("--host", &flags.init.hosts,
                 "name or address that others reach this machine by, the first for invitations; "
                 "may be given again (default: as before, or its host name)");
  init.AddOption("--port", &flags.init.port,
                 absl::StrCat("for invitations (default: as before, or ", kDefaultPort, ")"))
      .Between(1, 65535);
  program
      .AddCommand("check", "check the database of a data directory no scheduler works in",
                  [&action] { action = Check; })
      .AddOption("PATH", &flags.check_path, "the directory, or a file that qctl db backup made")
      .Required();
}

}  // namespace
}  // namespace qsweep

int main(int argc, char** argv) {
  qsweep::StartProgram();
  ::umask(0077);  // what it makes is nobody else's
  // Debian's Abseil looks for cycles at every lock that gRPC takes.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  qsweep::SetLogName("scheduler");
  qsweep::Flags flags;
  qsweep::Action action = [argv](const qsweep::Flags& given) { return qsweep::Serve(given, argv); };
  qsweep::Program program("qscheduler", "Runs sweeps on the workers that dial it.");
  qsweep::AddOptions(program, flags);
  qsweep::AddCommands(program, flags, action);
  if (const std::optional<int> code = program.Parse(argc, argv)) return *code;
  return action(flags);
}
