// qctl explain RUN: why it waits, moved, was tried again or failed, from its history, also long
// after.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/clock.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

// The run's state in one sentence.
std::string Now(const v1::Run& run) {
  switch (run.state()) {
    case v1::RUN_STATE_PENDING:
      return absl::StrCat(absl::StartsWith(run.waiting(), "waits ") ? "" : "waits: ",
                          run.waiting());
    case v1::RUN_STATE_RUNNING:
      return absl::StrCat("runs on ", run.worker(), ", step ", FormatCount(run.step()), " of ",
                          FormatCount(run.total_steps()),
                          run.remark().empty() ? "" : absl::StrCat("; ", run.remark()));
    case v1::RUN_STATE_SUCCEEDED:
      return run.reused_run_id() != 0
                 ? absl::StrCat("succeeded with the result of run ", run.reused_run_id(),
                                ", which computes the same")
                 : absl::StrCat("succeeded with attempt ", run.attempt());
    case v1::RUN_STATE_FAILED:
      return absl::StrCat("failed, and the ", BlameName(run.blame()),
                          " is to blame: ", run.error());
    default:
      return absl::StrCat("was ", StateName(run.state()));
  }
}

// What can be done about a failure, by whom it is blamed on.
std::string Advice(const v1::Run& run) {
  if (run.state() != v1::RUN_STATE_FAILED) return "";
  const std::string retry = absl::StrCat("`qctl retry --run ", run.id(), "`");
  switch (run.blame()) {
    case v1::BLAME_CONFIG:
      return "The same spec fails the same way each time, so it was tried once: change the spec.";
    case v1::BLAME_RESOURCES:
      return absl::StrCat("It needs a machine with more memory, or a smaller model or image; then ",
                          retry, ".");
    default:
      return absl::StrCat(
          "Nothing is known to be wrong with the run itself: once the machines are "
          "well, ",
          retry, ".");
  }
}

void PrintIndented(absl::string_view heading, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  Heading(heading);
  for (const std::string& text : lines) PrintLine(absl::StrCat("  ", text));
}

void PrintVerdicts(const v1::RunDetail& detail) {
  if (detail.verdicts().empty()) return;
  Heading("worker by worker");
  Table table({{"worker"}, {"why not there"}});
  for (const v1::WorkerVerdict& verdict : detail.verdicts()) {
    table.AddRow({verdict.worker(), verdict.reason()});
  }
  PrintTable(table, 2);
}

absl::StatusOr<int> Explain(const GlobalOptions& options, const std::string& name) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::RunDetail detail, connection->client().GetRun(name));
  if (options.json) {
    PrintJson(detail);
    return kExitGood;
  }
  const v1::Run& run = detail.run();
  PrintLine(absl::StrCat(OutStyle().Paint(Ink::kBold, Printable(run.name())), " (run ", run.id(),
                         ") ", Printable(Now(run)), "."));
  if (const std::string advice = Advice(run); !advice.empty()) PrintLine(advice);
  PrintVerdicts(detail);
  std::vector<std::string> history, words;
  for (const v1::HistoryLine& entry : detail.history()) {
    history.push_back(absl::StrCat(OutStyle().Paint(Ink::kDim, FormatTime(entry.unix_us())), "  ",
                                   entry.attempt() > 0 ? absl::StrCat("#", entry.attempt()) : "  ",
                                   "  ", Printable(entry.text())));
  }
  PrintIndented("what happened", history);
  if (run.state() == v1::RUN_STATE_FAILED || run.state() == v1::RUN_STATE_PENDING) {
    for (const absl::string_view text :
         absl::StrSplit(detail.log_tail(), '\n', absl::SkipEmpty())) {
      words.push_back(Printable(text));
    }
    PrintIndented("the trainer's last words", words);
  }
  return kExitGood;
}

}  // namespace

void AddExplain(CommandLine& line) {
  auto run = std::make_shared<std::string>();
  line.Add("explain", "say why a run waits, moved, was tried again or failed",
           [&options = line.options, run] { return Explain(options, *run); })
      .AddOption("RUN", run.get(), "number or SWEEP/NAME")
      .Required();
}

}  // namespace qsweep::qctl
