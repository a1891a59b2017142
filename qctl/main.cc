// qctl: the command line of qsweep.
#include <poll.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/shutdown.h"
#include "common/start.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

constexpr char kFooter[] =
    "Without --scheduler every command works on the scheduler of --data-dir, which\n"
    "is started and stopped as needed. The options that qctl --help shows may stand\n"
    "after a command, too. Exit codes: 0 good, 1 error, 2 usage or bad file, 3\n"
    "scheduler unreachable, 4 some runs did not succeed, 130 interrupted.";

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    default:
      return kExitError;
  }
}

int Fail(const absl::Status& status, const GlobalOptions& options) {
  if (absl::IsCancelled(status)) return kExitInterrupted;
  std::string message(status.message());
  if (IsUnreachable(status) && !options.scheduler.empty()) {
    message =
        absl::StrCat("the scheduler at ", options.scheduler, " cannot be reached (", message,
                     "); is it running, is the address right, and does it want credentials (`qctl "
                     "login`)?");
  }
  std::fputs(absl::StrCat("qctl: ", PrintableLines(message), "\n").c_str(), stderr);
  return ExitCode(status);
}

// Whether all that was printed has found its place.
bool Delivered() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
  // A reader that has what it wanted, such as head, needs no word.
  pollfd out{STDOUT_FILENO, POLLOUT, 0};
  if (::poll(&out, 1, 0) != 1 || (out.revents & POLLERR) == 0) {
    std::fputs("qctl: standard output could not be written to its end; is its disk full?\n",
               stderr);
  }
  return false;
}

int Main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");
  BlockShutdownSignals();

  Program program("qctl", "Runs sweeps of quantized-LoRA Vision Transformer experiments.", kFooter);
  program.RequireCommand();
  GlobalOptions options;
  std::string output = "text";
  program
      .AddOption("--scheduler", &options.scheduler,
                 "scheduler to talk to: HOST[:PORT] or unix:PATH")
      .Environment("QSWEEP_SCHEDULER");
  program.AddOption("--data-dir", &options.data_dir, "directory of the embedded scheduler");
  program
      .AddFlag("--insecure", &options.insecure,
               "talk to another machine in the clear if there are no credentials for it")
      .Environment("QSWEEP_INSECURE");
  program.AddOption("-o,--output", &output, "text, or json (field names as in the .proto files)")
      .OneOf({"text", "json"});

  CommandLine line{program, options, nullptr};
  AddRun(line);
  AddPlan(line);
  AddKeys(line);
  AddSubmit(line);
  AddStatus(line);
  AddWatch(line);
  AddRuns(line);
  AddShow(line);
  AddExplain(line);
  AddMetrics(line);
  AddReport(line);
  AddCompare(line);
  AddExport(line);
  AddLogs(line);
  AddControl(line);
  AddWorkers(line);
  AddLogin(line);
  AddTokens(line);
  AddDatabase(line);
  AddDoctor(line);
  AddSelftest(line);
  AddFetch(line);
  if (const std::optional<int> code = program.Parse(argc, argv)) return *code;
  options.json = output == "json";
  const absl::StatusOr<int> result = line.action();
  const bool delivered = Delivered();
  const int code = result.ok() ? *result : Fail(result.status(), options);
  return delivered || code != kExitGood ? code : kExitError;
}

}  // namespace
}  // namespace qsweep::qctl

int main(int argc, char** argv) {
  qsweep::StartProgram();
  try {
    return qsweep::qctl::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "qctl: %s\n", error.what());
    return qsweep::qctl::kExitError;
  }
}
