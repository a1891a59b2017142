// qctl plan FILE: the runs a sweep file stands for and, where there is a scheduler, what submitting
// them would mean.
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/spec/memory_estimate.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"
#include "qctl/submission.h"
#include "qsweep/v1/summary.pb.h"

namespace qsweep::qctl {
namespace {

constexpr size_t kKeyPrefix = 12;

// Asked of the scheduler that is named, or of the data directory's if there is one: a plan makes
// nothing.
absl::StatusOr<std::optional<v1::PlanSweepReply>> Forecast(const GlobalOptions& options,
                                                           const SweepPlan& plan) {
  if (options.scheduler.empty() && !PathExists(options.data_dir)) return std::nullopt;
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  v1::SubmitSweepRequest request = RequestOf(plan);
  request.set_request_id("plan");
  request.clear_source_yaml();  // nobody keeps it
  ASSIGN_OR_RETURN(v1::PlanSweepReply reply, connection->client().PlanSweep(request));
  return reply;
}

void PrintCells(const SweepPlan& plan, const std::optional<v1::PlanSweepReply>& forecast) {
  Table table({{"run"},
               {"key"},
               {"memory", Table::Align::kRight},
               {"takes", Table::Align::kRight},
               {"remark"}});
  for (size_t i = 0; i < plan.cells.size(); ++i) {
    const SweepPlan::Cell& cell = plan.cells[i];
    v1::CellForecast told;
    if (forecast) {
      told = forecast->cells(static_cast<int>(i));
    } else {
      told.set_memory_bytes(EstimatePeakBytes(cell.spec, /*micro_batch=*/1));
    }
    table.AddRow(
        {cell.name, Cell(cell.key.substr(0, kKeyPrefix), Ink::kDim),
         absl::StrCat(told.memory_measured() ? "" : "~", FormatBytes(told.memory_bytes())),
         told.seconds() > 0 ? FormatElapsed(absl::Seconds(told.seconds())) : "",
         told.known_run_id() != 0 ? absl::StrCat("known: run ", told.known_run_id()) : ""});
  }
  PrintTable(table);
}

void PrintForecast(const v1::PlanSweepReply& forecast) {
  const int64_t open = forecast.cells_size() - forecast.known();
  if (open == 0) {
    PrintLine("all were submitted before, and have a result or are on their way to one");
    return;
  }
  PrintLine(
      absl::StrCat(Plural(forecast.known(), "run"), " submitted before, ", open, " new; ",
                   forecast.seconds() > 0
                       ? absl::StrCat("about ", FormatElapsed(absl::Seconds(forecast.seconds())),
                                      " on the workers connected now")
                       : "how long is unknown until a run of each kind has finished",
                   "; at most ", FormatBytes(forecast.disk_bytes()), " of disk at the scheduler"));
  if (forecast.workers().empty()) PrintLine("no worker is connected");
  for (const v1::WorkerFit& worker : forecast.workers()) {
    PrintLine(absl::StrCat(
        "  ", Printable(worker.worker()), " fits ", worker.cells(), " of ", open,
        worker.why_not().empty() ? "" : absl::StrCat("; ", Printable(worker.why_not()))));
  }
}

absl::StatusOr<int> Plan(const GlobalOptions& options, const std::string& file) {
  ASSIGN_OR_RETURN(const SweepPlan plan, LoadPlan(file));
  ASSIGN_OR_RETURN(const auto forecast, Forecast(options, plan));
  if (options.json) {
    v1::Plan document;
    document.set_name(plan.name);
    document.set_priority(plan.priority);
    for (const SweepPlan::Cell& cell : plan.cells) {
      v1::PlannedCell& planned = *document.add_cells();
      planned.set_name(cell.name);
      planned.set_key(cell.key);
      *planned.mutable_spec() = cell.spec;
    }
    if (forecast) *document.mutable_forecast() = *forecast;
    PrintJson(document);
    return kExitGood;
  }
  PrintCells(plan, forecast);
  PrintLine("");
  if (forecast) PrintForecast(*forecast);
  PrintLine(absl::StrCat(plan.name, ": ", Plural(static_cast<int64_t>(plan.cells.size()), "run")));
  return kExitGood;
}

}  // namespace

void AddPlan(CommandLine& line) {
  auto file = std::make_shared<std::string>();
  line.Add("plan", "show the runs of a sweep file and what they would take; nothing is submitted",
           [&options = line.options, file] { return Plan(options, *file); })
      .AddOption("FILE", file.get(), "sweep file (YAML)")
      .Required();
}

}  // namespace qsweep::qctl
