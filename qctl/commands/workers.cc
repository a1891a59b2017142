// qctl workers: the machines.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/clock.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

Ink InkOfWorker(const std::string& state) {
  if (state == "connected") return Ink::kGreen;
  return state == "lost contact" ? Ink::kYellow : Ink::kDim;
}

Cell StateOf(const v1::WorkerStatus& worker) {
  if (worker.state() == "connected" && !worker.refuses().empty()) {
    return Cell("takes no runs", Ink::kYellow);
  }
  const std::string text =
      worker.draining() ? absl::StrCat(worker.state(), ", draining") : worker.state();
  return Cell(text, InkOfWorker(worker.state()));
}

absl::StatusOr<int> Workers(const GlobalOptions& options) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::ListWorkersReply workers, connection->client().ListWorkers());
  if (options.json) {
    PrintJson(workers);
    return kExitGood;
  }
  using Align = Table::Align;
  Table table({{"worker"},
               {"state"},
               {"runs", Align::kRight},
               {"cores", Align::kRight},
               {"load", Align::kRight},
               {"memory", Align::kRight},
               {"free", Align::kRight},
               {"seen"},
               {"remark"},
               {"device"},
               {"gpus"},
               {"instruction sets"},
               {"id"}});
  const int64_t now = SystemClock().UnixMicros();
  for (const v1::WorkerStatus& worker : workers.workers()) {
    const v1::WorkerInfo& info = worker.info();
    const bool here = worker.state() == "connected";
    const auto bytes = [](int64_t n) { return n > 0 ? FormatBytes(n) : ""; };
    table.AddRow({info.name(), StateOf(worker),
                  absl::StrCat(worker.running_run_ids_size(), "/", info.slots()),
                  absl::StrCat(info.cores()),
                  here ? absl::StrFormat("%.1f", worker.cpu_load()) : "",
                  bytes(info.memory_bytes()), here ? bytes(worker.memory_free_bytes()) : "",
                  absl::StrCat(FormatSpan(worker.last_seen_unix_us(), now, now), " ago"),
                  worker.remark(), info.device(), absl::StrJoin(info.gpus(), ", "),
                  absl::StrJoin(info.instruction_sets(), " "), Cell(info.id(), Ink::kDim)});
  }
  PrintTable(table);
  if (table.empty()) {
    Note(absl::StrCat("No worker has connected yet. ", kHowWorkersJoin, "."));
  }
  return kExitGood;
}

}  // namespace

void AddWorkers(CommandLine& line) {
  Command workers = line.Add("workers", "list the machines that train",
                             [&options = line.options] { return Workers(options); });
  AddInvite(line, workers);
}

}  // namespace qsweep::qctl
