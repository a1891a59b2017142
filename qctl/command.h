// What every command of qctl is made from.
#ifndef QSWEEP_QCTL_COMMAND_H_
#define QSWEEP_QCTL_COMMAND_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "common/command_line.h"
#include "qctl/connection.h"
#include "qctl/output.h"

namespace qsweep::qctl {

// Besides kExitUsage (common/command_line.h).
inline constexpr int kExitGood = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitUnreachable = 3;
inline constexpr int kExitRunsFailed = 4;  // the command did its work; some runs did not succeed
inline constexpr int kExitInterrupted = 130;

// The remedy where there is no worker.
inline constexpr char kHowWorkersJoin[] =
    "`qctl workers invite NAME` prints the line that joins one; a scheduler without TLS has "
    "`qworker --scheduler ADDRESS`";

// A command's work; returns the exit code.
using Action = std::function<absl::StatusOr<int>()>;

struct CommandLine {
  Program& program;
  GlobalOptions& options;
  Action action;  // of the command that was named

  // A command of qctl, or of `parent`.
  Command Add(const std::string& name, const std::string& description, Action work,
              Command* parent = nullptr);
};

void AddKeys(CommandLine& line);
void AddPlan(CommandLine& line);
void AddSubmit(CommandLine& line);
void AddStatus(CommandLine& line);
void AddWatch(CommandLine& line);
void AddRuns(CommandLine& line);
void AddShow(CommandLine& line);
void AddMetrics(CommandLine& line);
void AddLogs(CommandLine& line);
void AddExplain(CommandLine& line);
void AddControl(CommandLine& line);
void AddWorkers(CommandLine& line);
void AddLogin(CommandLine& line);
void AddTokens(CommandLine& line);
void AddDatabase(CommandLine& line);
void AddDoctor(CommandLine& line);
void AddSelftest(CommandLine& line);
void AddRun(CommandLine& line);
void AddReport(CommandLine& line);
void AddCompare(CommandLine& line);
void AddExport(CommandLine& line);
void AddFetch(CommandLine& line);
void AddInvite(CommandLine& line, Command& workers);  // `qctl workers invite`

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_COMMAND_H_
