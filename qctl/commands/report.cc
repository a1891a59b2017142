// qctl report SWEEP: tables, figures and the numbers behind them, as a directory.
#include "analysis/report.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"
#include "qctl/interrupt.h"
#include "qctl/records.h"

namespace qsweep::qctl {
namespace {

struct Options {
  std::string sweep;
  ReportOptions report;
  bool no_figures = false;
};

absl::StatusOr<int> Report(const GlobalOptions& global, const Options& options) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(global));
  Client& client = connection->client();
  ASSIGN_OR_RETURN(const v1::Sweep sweep, client.GetSweep(options.sweep));
  ASSIGN_OR_RETURN(const v1::ListRunsReply runs, client.ListRuns(absl::StrCat(sweep.id()), {}));
  const std::vector<v1::Run> all(runs.runs().begin(), runs.runs().end());
  RETURN_IF_ERROR(WriteReport(sweep, all, ReadInOrder(client, all, IsReported), options.report));
  const int missing = TotalRuns(sweep) - sweep.succeeded();
  Note(absl::StrCat(
      options.report.directory, ": report of ", sweep.succeeded(), " of ",
      Plural(TotalRuns(sweep), "run"),
      missing > 0 ? absl::StrCat("; ", missing, " without a result are named in it") : ""));
  return kExitGood;
}

}  // namespace

void AddReport(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command =
      line.Add("report", "write tables, figures and a page about a sweep, finished or not",
               [&global = line.options, options] {
                 options->report.figures = !options->no_figures;
                 options->report.stop = [] { return Interrupts() > 0; };
                 return Report(global, *options);
               });
  command.AddOption("SWEEP", &options->sweep, "number or name").Required();
  command
      .AddOption("--out", &options->report.directory,
                 "directory to make; an earlier report there is replaced")
      .Required();
  command.AddFlag("--no-figures", &options->no_figures, "do without gnuplot");
}

}  // namespace qsweep::qctl
