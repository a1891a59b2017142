// qscheduler: owns the experiment matrix, run states, metrics and artifacts.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/clock.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/shutdown.h"
#include "common/status.h"
#include "common/version.h"
#include "scheduler/scheduler.h"

namespace qsweep {
namespace {

constexpr int kExitError = 1;
constexpr int kExitUsage = 2;

struct Flags {
  std::string data_directory;
  std::string listen = "127.0.0.1:7411";
  bool insecure = false;
  int64_t lease_ms = 60'000;
  int64_t heartbeat_ms = 5'000;
};

int Run(const Flags& flags) {
  BlockShutdownSignals();
  SetLogName("scheduler");
  SchedulerOptions options;
  const absl::StatusOr<std::string> listen = ParseAddress(flags.listen);
  if (!listen.ok()) {
    LogError(absl::StrCat("--listen: ", listen.status().message()));
    return kExitUsage;
  }
  if (!IsLocalAddress(*listen) && !flags.insecure) {
    LogError(absl::StrCat("--listen ", *listen,
                          ": other machines can reach this address, and there is neither "
                          "encryption nor a password yet; on a network you trust, add --insecure"));
    return kExitUsage;
  }
  if (flags.heartbeat_ms * 3 > flags.lease_ms) {
    LogError("--lease-ms: must be at least three times --heartbeat-ms");
    return kExitUsage;
  }
  options.listen = *listen;
  options.data_directory = flags.data_directory;
  options.policy.lease = absl::Milliseconds(flags.lease_ms);
  options.heartbeat_ms = flags.heartbeat_ms;

  absl::StatusOr<std::unique_ptr<Scheduler>> scheduler = Scheduler::Start(options, SystemClock());
  if (!scheduler.ok()) {
    LogError(scheduler.status().message());
    return kExitError;
  }
  LogInfo(absl::StrCat("qsweep ", kVersion, " serves ", flags.data_directory, " on ",
                       (*scheduler)->address()));
  int signal = 0;
  while (signal == 0) {
    signal = WaitForShutdownSignal(absl::Milliseconds(200));
    if (!(*scheduler)->status().ok()) std::_Exit(kExitError);  // it has said why
  }
  LogInfo("stopping");
  return 0;
}

}  // namespace
}  // namespace qsweep

int main(int argc, char** argv) {
  qsweep::Flags flags;
  CLI::App app("qscheduler: runs sweeps on the workers that dial it");
  app.set_version_flag("--version", qsweep::kVersion);
  app.add_option("--data-dir", flags.data_directory, "database and artifacts; made if missing")
      ->required();
  app.add_option("--listen", flags.listen, "HOST:PORT (port 0: any that is free) or unix:PATH")
      ->capture_default_str();
  app.add_flag("--insecure", flags.insecure, "listen where other machines can reach, without TLS");
  app.add_option("--lease-ms", flags.lease_ms,
                 "how long a worker may be silent before its runs go elsewhere")
      ->check(CLI::Range(100, 86'400'000))
      ->capture_default_str();
  app.add_option("--heartbeat-ms", flags.heartbeat_ms, "how often workers say that they live")
      ->check(CLI::Range(10, 3'600'000))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool fine = app.exit(error) == 0;  // --help and --version are thrown, too
    return fine ? 0 : qsweep::kExitUsage;
  }
  return qsweep::Run(flags);
}
