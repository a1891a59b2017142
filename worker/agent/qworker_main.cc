// qworker: runs what a scheduler assigns to this machine.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/credentials.h"
#include "common/disk_reserve.h"
#include "common/file.h"
#include "common/log.h"
#include "common/metrics_http.h"
#include "common/proc.h"
#include "common/proto_json.h"
#include "common/rpc.h"
#include "common/shutdown.h"
#include "common/start.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "common/version.h"
#include "worker/agent/agent.h"
#include "worker/agent/machine.h"
#include "worker/agent/state_directory.h"

namespace qsweep {
namespace {

constexpr char kCredentialsFile[] = "credentials.json";  // in the state directory
constexpr absl::Duration kProbeTimeout = absl::Minutes(2);

struct Flags {
  std::string scheduler, join, state_dir, data_root, model_root, name, qtrain, device, log_file,
      metrics;
  int64_t disk_reserve = DiskReserve::kDefaultBytes;
  bool insecure = false;
  int slots = 1;
  int threads = 0;
  int64_t memory_limit = 0;
};

void AddOptions(Command program, Flags* flags) {
  program
      .AddOption("--scheduler", &flags->scheduler,
                 "The scheduler: HOST[:PORT] or unix:PATH (default: the one joined)")
      .Environment("QSWEEP_SCHEDULER");
  program.AddOption(
      "--join", &flags->join,
      "The invitation that qctl workers invite printed; kept in the state directory, so "
      "needed once");
  program.AddFlag("--insecure", &flags->insecure,
                  "Talk to a scheduler on another machine in the clear");
  program.AddBytes("--disk-reserve", &flags->disk_reserve,
                   "With less free for the state directory no runs are taken, as in 512M");
  program.AddOption(
      "--metrics", &flags->metrics,
      "HOST:PORT of a page for Prometheus, /metrics; numbers only, open to all who reach "
      "it (default: none)");
  program.AddOption("--log-file", &flags->log_file, LogFileHelp());
  program
      .AddOption("--state-dir", &flags->state_dir,
                 "What survives a restart; one worker a directory")
      .Required();
  program.AddOption("--slots", &flags->slots, "Runs at a time").Between(1, 1024);
  program.AddOption("--threads", &flags->threads, "Threads of a run (default: cores / slots)")
      .Between(1, 4096);
  program.AddBytes("--memory-limit", &flags->memory_limit,
                   "Memory of all runs together, as in 512M or 4G, of a GPU's own memory with "
                   "--device cuda (default: what there is)");
  program.AddOption("--data-root", &flags->data_root, "Where data sets lie (default: ./data)");
  program.AddOption("--model-root", &flags->model_root,
                    "Where model weights lie (default: ./models)");
  program.AddOption("--name", &flags->name, "The worker's name, shown only (default: host name)");
  program.AddOption("--device", &flags->device,
                    "What runs compute on: cpu, cuda or, of several, cuda:1; one worker a GPU, "
                    "each with a state directory of its own (default: cpu)");
  program.AddOption("--qtrain", &flags->qtrain,
                    "The trainer (default: the qtrain beside this program)");
}

// What this machine is, as its trainer sees it.
absl::StatusOr<v1::WorkerInfo> Probe(const TrainerOptions& trainer) {
  std::vector<std::string> argv = {trainer.qtrain, "probe"};
  if (!trainer.data_root.empty()) argv.insert(argv.end(), {"--data-root", trainer.data_root});
  if (!trainer.model_root.empty()) argv.insert(argv.end(), {"--model-root", trainer.model_root});
  if (!trainer.device.empty()) argv.insert(argv.end(), {"--device", trainer.device});
  const absl::StatusOr<std::string> json = RunForOutput(argv, kProbeTimeout);
  if (!json.ok()) return Annotate(json.status(), "asking the trainer what this machine has");
  v1::WorkerInfo info;
  if (const absl::Status status = FromJson(*json, &info); !status.ok()) {
    return Annotate(status,
                    absl::StrCat(trainer.qtrain, " probe: not what this worker understands"));
  }
  if (info.cores() < 1) {
    return absl::InternalError(absl::StrCat(trainer.qtrain, " probe: reports no core"));
  }
  return info;
}

absl::StatusOr<AgentOptions> MakeOptions(const Flags& flags) {
  AgentOptions options;
  options.trainer.qtrain =
      flags.qtrain.empty() ? JoinPath(ProgramDirectory(), "qtrain") : flags.qtrain;
  options.trainer.data_root = flags.data_root;
  options.trainer.model_root = flags.model_root;
  options.trainer.device = flags.device;
  ASSIGN_OR_RETURN(options.info, Probe(options.trainer));
  int64_t memory_bytes = options.info.memory_bytes();  // of a device
  if (memory_bytes == 0) {
    ASSIGN_OR_RETURN(memory_bytes, Machine().MemoryBytes());
  }
  // More than the machine has would only be found out by the kernel's killer.
  if (flags.memory_limit > 0) {
    memory_bytes = std::min(memory_bytes, flags.memory_limit);
  }
  options.info.set_name(flags.name.empty() ? HostName() : flags.name);
  if (options.info.name().empty()) options.info.set_name("unnamed");
  options.info.set_version(kVersion);
  options.info.set_protocol(kProtocol);
  options.info.set_slots(flags.slots);
  options.disk_reserve_bytes = flags.disk_reserve;
  options.info.set_memory_bytes(memory_bytes);
  options.trainer.memory_limit_bytes = memory_bytes / flags.slots;
  options.trainer.threads =
      flags.threads > 0 ? flags.threads : std::max(1, options.info.cores() / flags.slots);
  return options;
}

struct Dialled {
  std::string address;
  std::shared_ptr<grpc::Channel> session, transfers;
};

// The scheduler that was joined, with the credentials it gave, unless another one is named: that
// one in the clear.
absl::StatusOr<Dialled> Dial(const Flags& flags) {
  const std::string path = JoinPath(flags.state_dir, kCredentialsFile);
  if (!flags.join.empty()) {
    ASSIGN_OR_RETURN(const v1::Credentials invitation, ParseInvitation(flags.join));
    RETURN_IF_ERROR(SaveCredentials(path, invitation));
  }
  const absl::StatusOr<v1::Credentials> joined = LoadCredentials(path);
  if (!joined.ok() && !absl::IsNotFound(joined.status())) return joined.status();
  if (flags.scheduler.empty() && !joined.ok()) {
    return absl::InvalidArgumentError(
        "no scheduler yet: --join INVITATION (from `qctl workers invite`) or --scheduler ADDRESS");
  }
  std::string address;
  if (!flags.scheduler.empty()) {
    ASSIGN_OR_RETURN(address, ParseAddress(flags.scheduler));
  }
  if (joined.ok() && (address.empty() || address == joined->address())) {
    return Dialled{joined->address(), MakeSecureChannel(*joined), MakeSecureChannel(*joined)};
  }
  if (IsLocalAddress(address) || flags.insecure) {
    return Dialled{address, MakeChannel(address), MakeChannel(address)};
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--scheduler ", address,
      ": is on another machine and this worker has no credentials for it; --join INVITATION (from "
      "`qctl workers invite`), or --insecure on a network you trust"));
}

absl::Status Serve(const Flags& flags) {
  if (flags.state_dir.empty()) return absl::InvalidArgumentError("--state-dir: needs a directory");
  if (!flags.log_file.empty()) RETURN_IF_ERROR(SetLogFile(flags.log_file));
  ASSIGN_OR_RETURN(StateDirectory state, StateDirectory::Open(flags.state_dir));
  ASSIGN_OR_RETURN(const Dialled scheduler, Dial(flags));
  ASSIGN_OR_RETURN(AgentOptions options, MakeOptions(flags));
  LogInfo(absl::StrCat("worker ", options.info.name(), " (", state.worker_id(), "), slots: ",
                       options.info.slots(), ", threads of each: ", options.trainer.threads,
                       ", memory of each: ", options.trainer.memory_limit_bytes >> 20,
                       " MiB, scheduler ", scheduler.address));
  Agent agent(std::move(options), std::move(state), scheduler.session, scheduler.transfers,
              SystemClock());
  std::unique_ptr<MetricsServer> metrics;
  if (!flags.metrics.empty()) {
    ASSIGN_OR_RETURN(metrics,
                     MetricsServer::Start(flags.metrics, [&agent] { return agent.Metrics(); }));
  }
  std::atomic<bool> done = false;
  absl::Status status;
  std::thread loop([&] {
    status = agent.Run();
    done = true;
  });
  bool asked = false;
  while (!done) {
    if (WaitForShutdownSignal(absl::Milliseconds(100)) == 0) continue;
    // Trainers go on; the next qworker here finds them.
    if (asked) std::_Exit(EXIT_FAILURE);
    asked = true;
    agent.Shutdown();
  }
  loop.join();
  return status;
}

}  // namespace
}  // namespace qsweep

int main(int argc, char** argv) {
  qsweep::StartProgram();
  qsweep::BlockShutdownSignals();
  qsweep::SetLogName("worker");
  qsweep::Program program("qworker", "Runs what a qsweep scheduler assigns to this machine.");
  qsweep::Flags flags;
  qsweep::AddOptions(program, &flags);
  if (const std::optional<int> code = program.Parse(argc, argv)) return *code;
  // The process list shows arguments to everyone on the machine.
  for (int i = 1; i < argc; ++i) {
    char* const join = flags.join.empty() ? nullptr : std::strstr(argv[i], flags.join.c_str());
    if (join != nullptr) std::memset(join, 'x', flags.join.size());
  }
  const absl::Status status = qsweep::Serve(flags);
  if (status.ok()) return 0;
  std::cerr << "qworker: " << status.message() << "\n";
  return absl::IsInvalidArgument(status) ? qsweep::kExitUsage : 1;
}
