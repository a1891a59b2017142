// qctl run [FILE...]: from sweep files to results, in one command. Without --scheduler on this
// machine, with a scheduler and a worker of its own.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/follow.h"
#include "qctl/format.h"
#include "qctl/interrupt.h"
#include "qctl/results.h"
#include "qctl/submission.h"
#include "qctl/summary_table.h"

namespace qsweep::qctl {
namespace {

struct Options {
  std::vector<std::string> files;
  int slots = 0;
  int threads = 0;
  int64_t memory_limit = 0;
  std::string data_root;
  std::string model_root;
};

std::vector<std::string> WorkerFlags(const Options& options) {
  std::vector<std::string> flags;
  const auto add = [&flags](const char* name, const std::string& value) {
    flags.insert(flags.end(), {name, value});
  };
  if (options.slots > 0) add("--slots", absl::StrCat(options.slots));
  if (options.threads > 0) add("--threads", absl::StrCat(options.threads));
  if (options.memory_limit > 0) add("--memory-limit", absl::StrCat(options.memory_limit));
  if (!options.data_root.empty()) add("--data-root", options.data_root);
  if (!options.model_root.empty()) add("--model-root", options.model_root);
  return flags;
}

// Every file is checked before anything starts; all their problems are one error.
absl::StatusOr<std::vector<v1::SubmitSweepRequest>> LoadAll(const std::vector<std::string>& files) {
  std::vector<v1::SubmitSweepRequest> requests;
  std::vector<std::string> problems;
  absl::Status status;
  for (const std::string& file : files) {
    auto request = LoadSubmission(file);
    if (!request.ok()) {
      status.Update(request.status());
      problems.emplace_back(request.status().message());
      continue;
    }
    requests.push_back(*std::move(request));
  }
  if (!status.ok()) return absl::Status(status.code(), absl::StrJoin(problems, "\n"));
  return requests;
}

class Runner {
 public:
  Runner(const GlobalOptions& global, Connection& connection)
      : global_(global), connection_(connection) {}

  // Submits, unless the same content was submitted before, and sees it through.
  absl::Status RunFile(v1::SubmitSweepRequest request) {
    ASSIGN_OR_RETURN(*request.mutable_request_id(), WhileAway(connection_, [&] {
      return ContentRequestId(connection_.client(), request);
    }));
    ASSIGN_OR_RETURN(const v1::SubmitSweepReply reply,
                     WhileAway(connection_, [&] { return connection_.client().Submit(request); }));
    return RunSweep(reply.sweep_id());
  }

  // Every sweep that has not ended, the oldest first.
  absl::Status RunUnfinished() {
    ASSIGN_OR_RETURN(const v1::ListSweepsReply sweeps,
                     WhileAway(connection_, [&] { return connection_.client().ListSweeps(); }));
    bool any = false;
    for (auto it = sweeps.sweeps().rbegin(); it != sweeps.sweeps().rend(); ++it) {
      if (EndedRuns(*it) == TotalRuns(*it)) continue;
      any = true;
      RETURN_IF_ERROR(RunSweep(it->id()));
    }
    if (!any) Note("Nothing to do: every sweep has ended. `qctl run FILE` begins one.");
    return absl::OkStatus();
  }

  const v1::RunReport& report() const { return report_; }
  bool all_succeeded() const { return all_succeeded_; }

 private:
  absl::Status RunSweep(int64_t id) {
    v1::Sweep sweep;
    {
      const auto view = MakeSweepView(stderr);  // standard output is for the result
      ASSIGN_OR_RETURN(sweep, FollowSweep(connection_, absl::StrCat(id), *view));
    }
    if (EndedRuns(sweep) < TotalRuns(sweep)) {
      return absl::FailedPreconditionError(
          absl::StrCat(sweep.name(), ": ", UnplaceableText(sweep),
                       ". Once that is mended (the worker here takes --data-root, --model-root and "
                       "--memory-limit), the same command goes on"));
    }
    ASSIGN_OR_RETURN(v1::SweepSummary summary, WhileAway(connection_, [&] {
                       return ExportSweep(connection_.client(), sweep,
                                          JoinPath(global_.data_dir, "results"));
                     }));
    if (sweep.succeeded() != TotalRuns(sweep)) all_succeeded_ = false;
    if (!global_.json) {
      Print(absl::StrCat("\n", RenderSummary(summary, OutStyle(), OutWidth()), "\n"));
      std::fflush(stdout);
    }
    *report_.add_sweeps() = std::move(summary);
    return absl::OkStatus();
  }

  const GlobalOptions& global_;
  Connection& connection_;
  v1::RunReport report_;
  bool all_succeeded_ = true;
};

absl::Status RunAll(Runner& runner, std::vector<v1::SubmitSweepRequest> requests) {
  if (requests.empty()) return runner.RunUnfinished();
  for (v1::SubmitSweepRequest& request : requests) {
    RETURN_IF_ERROR(runner.RunFile(std::move(request)));
  }
  return absl::OkStatus();
}

absl::Status StopEmbedded(Embedded& embedded) {
  const int before = Interrupts();
  if (before > 0) Note("Stopping; what runs writes a checkpoint first. Ctrl-C again kills it.");
  ASSIGN_OR_RETURN(const bool stopped, embedded.Close([&] { return Interrupts() > before; }));
  if (before > 0) {
    Note(stopped ? "Stopped. The same command goes on from here."
                 : "Another qctl command uses this worker, so it goes on, and so do the runs.");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Run(const GlobalOptions& global, const Options& options) {
  const std::vector<std::string> flags = WorkerFlags(options);
  if (!global.scheduler.empty() && !flags.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        flags[0], ": is for a worker on this machine; with --scheduler ", global.scheduler,
        " the runs go to that scheduler's workers (see qworker --help)"));
  }
  ASSIGN_OR_RETURN(std::vector<v1::SubmitSweepRequest> requests, LoadAll(options.files));
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(global, /*create=*/!requests.empty()));
  Embedded* const embedded = connection->embedded();
  if (embedded != nullptr) {
    ASSIGN_OR_RETURN(const bool started, embedded->UseWorker(flags));
    if (!started && !flags.empty()) {
      Note(
          "A worker of this data directory runs already; it keeps the settings it was started "
          "with.");
    }
  }
  Runner runner(global, *connection);
  const absl::Status status = RunAll(runner, std::move(requests));
  if (embedded != nullptr) {
    const absl::Status stopped = StopEmbedded(*embedded);
    // What went wrong before says more.
    if (status.ok() || absl::IsCancelled(status)) RETURN_IF_ERROR(stopped);
  }
  if (embedded == nullptr && absl::IsCancelled(status)) {
    Note("The sweep goes on there. The same command follows it again; `qctl cancel` ends it.");
  }
  RETURN_IF_ERROR(status);
  if (global.json) PrintJson(runner.report());
  return runner.all_succeeded() ? kExitGood : kExitRunsFailed;
}

}  // namespace

void AddRun(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command =
      line.Add("run", "run sweep files to their end, in order, here unless --scheduler is given",
               [&global = line.options, options] { return Run(global, *options); });
  command.AddOption("FILE", &options->files,
                    "sweep files (YAML); none: whatever has not ended yet");
  command.AddOption("--slots", &options->slots, "runs at a time").Between(1, 1024);
  command.AddOption("--threads", &options->threads, "threads of a run").Between(1, 4096);
  command.AddBytes("--memory-limit", &options->memory_limit,
                   "for all runs together, such as 512M or 4G");
  command.AddOption("--data-root", &options->data_root, "directory of datasets");
  command.AddOption("--model-root", &options->model_root, "directory of trained weights");
}

}  // namespace qsweep::qctl
