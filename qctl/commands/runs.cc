// qctl runs SWEEP: its runs, all or those in some states.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

constexpr char kPaused[] = "paused";

struct Options {
  std::string sweep;
  std::vector<std::string> states;
};

std::string Steps(const v1::Run& run) {
  if (run.total_steps() == 0 || run.state() == v1::RUN_STATE_SUCCEEDED) return "";
  return absl::StrCat(FormatCount(run.step()), "/", FormatCount(run.total_steps()));
}

// What there is to say beside the columns: where it runs, why it waits, why it failed.
std::string Remark(const v1::Run& run) {
  switch (run.state()) {
    case v1::RUN_STATE_RUNNING:
      return absl::StrCat("on ", run.worker(), run.remark().empty() ? "" : ": ", run.remark());
    case v1::RUN_STATE_PENDING:
      return run.waiting();
    case v1::RUN_STATE_FAILED:
      return absl::StrCat(BlameName(run.blame()), ": ", run.error());
    default:
      return run.reused_run_id() != 0 ? absl::StrCat("result of run ", run.reused_run_id())
                                      : run.remark();
  }
}

std::map<std::string, v1::RunState> States() {
  std::map<std::string, v1::RunState> states;
  for (int state = v1::RUN_STATE_PENDING; state <= v1::RUN_STATE_CANCELLED; ++state) {
    states[StateName(static_cast<v1::RunState>(state))] = static_cast<v1::RunState>(state);
  }
  return states;
}

// `paused` is no state of its own: such a run is pending, or about to be.
absl::StatusOr<v1::ListRunsReply> ListWanted(Client& client, const Options& options) {
  std::set<v1::RunState> named;
  bool paused = false;
  for (const std::string& name : options.states) {
    if (name == kPaused) {
      paused = true;
    } else {
      named.insert(States().at(name));
    }
  }
  std::set<v1::RunState> asked = named;
  if (paused) asked.insert({v1::RUN_STATE_PENDING, v1::RUN_STATE_RUNNING});
  ASSIGN_OR_RETURN(v1::ListRunsReply runs,
                   client.ListRuns(options.sweep, {asked.begin(), asked.end()}));
  if (paused) {
    auto* all = runs.mutable_runs();
    const auto other = [&](const v1::Run& run) {
      return !run.paused() && named.count(run.state()) == 0;
    };
    all->erase(std::remove_if(all->begin(), all->end(), other), all->end());
  }
  return runs;
}

absl::StatusOr<int> Runs(const GlobalOptions& global, const Options& options) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(global));
  ASSIGN_OR_RETURN(const v1::ListRunsReply runs, ListWanted(connection->client(), options));
  if (global.json) {
    PrintJson(runs);
    return kExitGood;
  }
  using Align = Table::Align;
  Table table({{"id", Align::kRight},
               {"run"},
               {"state"},
               {"attempt", Align::kRight},
               {"step", Align::kRight},
               {"img/s", Align::kRight},
               {"top-1", Align::kRight},
               {"took", Align::kRight},
               {"remark"}});
  const int64_t now = SystemClock().UnixMicros();
  for (const v1::Run& run : runs.runs()) {
    table.AddRow({absl::StrCat(run.id()), run.name(),
                  Cell(StateName(run.state()), InkOf(run.state())),
                  run.attempt() > 1 ? absl::StrCat(run.attempt()) : "", Steps(run),
                  run.images_per_s() > 0 ? absl::StrFormat("%.1f", run.images_per_s()) : "",
                  run.has_best() ? FormatPercent(run.best().top1(), 2) : "",
                  run.state() == v1::RUN_STATE_PENDING
                      ? ""
                      : FormatSpan(run.started_unix_us(), run.ended_unix_us(), now),
                  Remark(run)});
  }
  PrintTable(table);
  if (table.empty()) Note("No runs in such a state.");
  return kExitGood;
}

}  // namespace

void AddRuns(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command = line.Add("runs", "list the runs of a sweep",
                             [&global = line.options, options] { return Runs(global, *options); });
  command.AddOption("SWEEP", &options->sweep, "number or name").Required();
  std::vector<std::string> names = {kPaused};
  for (const auto& [name, state] : States()) names.push_back(name);
  command.AddOption("--state", &options->states, "only these states").OneOf(names).CommaSeparated();
}

}  // namespace qsweep::qctl
