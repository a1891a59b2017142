// qctl plan FILE: the runs a sweep file stands for.
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"
#include "qctl/submission.h"
#include "qsweep/v1/summary.pb.h"

namespace qsweep::qctl {
namespace {

constexpr size_t kKeyPrefix = 12;

absl::StatusOr<int> Plan(const GlobalOptions& options, const std::string& file) {
  ASSIGN_OR_RETURN(const SweepPlan plan, LoadPlan(file));
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
    PrintJson(document);
    return kExitGood;
  }
  Table table({{"run"}, {"key"}});
  for (const SweepPlan::Cell& cell : plan.cells) {
    table.AddRow({cell.name, Cell(cell.key.substr(0, kKeyPrefix), Ink::kDim)});
  }
  PrintTable(table);
  PrintLine(
      absl::StrCat("\n", plan.name, ": ", Plural(static_cast<int64_t>(plan.cells.size()), "run")));
  return kExitGood;
}

}  // namespace

void AddPlan(CommandLine& line) {
  auto file = std::make_shared<std::string>();
  line.Add("plan", "show the runs of a sweep file; nothing is submitted",
           [&options = line.options, file] { return Plan(options, *file); })
      ->add_option("FILE", *file, "sweep file (YAML)")
      ->required();
}

}  // namespace qsweep::qctl
