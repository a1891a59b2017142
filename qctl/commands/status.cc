// qctl status [SWEEP]: how the sweeps stand.
#include "common/status.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

// What keeps a sweep that has not ended: at once if no worker could ever take some of its runs.
Cell Remark(const v1::Sweep& sweep) {
  if (sweep.unplaceable() > 0) return Cell(UnplaceableText(sweep), Ink::kRed);
  if (sweep.paused() > 0) return Cell(absl::StrCat(sweep.paused(), " paused"), Ink::kYellow);
  return Cell(sweep.waiting());
}

void PrintSweeps(const v1::ListSweepsReply& sweeps) {
  using Align = Table::Align;
  Table table({{"id", Align::kRight},
               {"sweep"},
               {"state"},
               {"done", Align::kRight},
               {"running", Align::kRight},
               {"failed", Align::kRight},
               {"cancelled", Align::kRight},
               {"reused", Align::kRight},
               {"took", Align::kRight},
               {"submitted"},
               {"remark"}});
  const auto count = [](int n, Ink ink = Ink::kPlain) {
    return n == 0 ? Cell("") : Cell(FormatCount(n), ink);
  };
  const int64_t now = SystemClock().UnixMicros();
  for (const v1::Sweep& sweep : sweeps.sweeps()) {
    const v1::RunState state = SweepState(sweep);
    table.AddRow({absl::StrCat(sweep.id()), sweep.name(), Cell(StateName(state), InkOf(state)),
                  absl::StrCat(EndedRuns(sweep), "/", TotalRuns(sweep)), count(sweep.running()),
                  count(sweep.failed(), Ink::kRed), count(sweep.cancelled()), count(sweep.reused()),
                  FormatSpan(sweep.created_unix_us(), sweep.ended_unix_us(), now),
                  FormatTime(sweep.created_unix_us()), Remark(sweep)});
  }
  PrintTable(table);
}

absl::StatusOr<int> Status(const GlobalOptions& options, const std::string& name) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  if (!name.empty()) {
    ASSIGN_OR_RETURN(const v1::Sweep sweep, connection->client().GetSweep(name));
    if (options.json) {
      PrintJson(sweep);
    } else {
      v1::ListSweepsReply one;
      *one.add_sweeps() = sweep;
      PrintSweeps(one);
    }
    return kExitGood;
  }
  ASSIGN_OR_RETURN(const v1::ListSweepsReply sweeps, connection->client().ListSweeps());
  if (options.json) {
    PrintJson(sweeps);
    return kExitGood;
  }
  if (sweeps.sweeps().empty()) {
    Note("No sweeps yet. `qctl run FILE` or `qctl submit FILE` makes one.");
  } else {
    PrintSweeps(sweeps);
  }
  if (!sweeps.hold().empty()) {
    PrintLine(OutStyle().Paint(Ink::kYellow,
                               absl::StrCat("No run is begun: ", Printable(sweeps.hold()))));
  }
  return kExitGood;
}

}  // namespace

void AddStatus(CommandLine& line) {
  auto sweep = std::make_shared<std::string>();
  line.Add("status", "show all sweeps, or one",
           [&options = line.options, sweep] { return Status(options, *sweep); })
      .AddOption("SWEEP", sweep.get(), "number or name");
}

}  // namespace qsweep::qctl
