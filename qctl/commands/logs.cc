// qctl logs RUN: what its trainers said.
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/state_names.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace {

constexpr absl::Duration kFollowInterval = absl::Milliseconds(500);

struct Options {
  std::string run;
  bool follow = false;
};

void PrintRecord(const v1::LogRecord& record) {
  const Ink ink = record.level() == "error"     ? Ink::kRed
                  : record.level() == "warning" ? Ink::kYellow
                                                : Ink::kPlain;
  PrintLine(absl::StrCat(OutStyle().Paint(Ink::kDim, FormatTime(record.unix_us())), " attempt ",
                         record.attempt(), " ", OutStyle().Paint(ink, Printable(record.level())),
                         " ", Printable(record.text())));
}

struct News {
  v1::GetLogsReply lines;
  bool last = false;  // the run has ended
};

absl::StatusOr<News> Ask(Client& client, const std::string& run, int64_t after_id) {
  News news;
  // Asked before the lines are: what an ended run said is complete.
  ASSIGN_OR_RETURN(const v1::RunDetail detail, client.GetRun(run));
  ASSIGN_OR_RETURN(news.lines, client.GetLogs(run, after_id));
  news.last = HasEnded(detail.run().state());
  return news;
}

absl::StatusOr<int> Follow(const GlobalOptions& global, Connection& connection,
                           const std::string& run) {
  int64_t after_id = 0;
  bool reached = false;
  while (true) {
    const absl::StatusOr<News> news = Ask(connection.client(), run, after_id);
    if (!news.ok()) {
      // One that was never reached is an error; one that goes away is waited for.
      if (!reached || !IsUnreachable(news.status())) return news.status();
      RETURN_IF_ERROR(connection.Restore());
      continue;
    }
    reached = true;
    for (const v1::LogRecord& record : news->lines.lines()) {
      if (global.json) {
        PrintJsonLine(record);
      } else {
        PrintRecord(record);
      }
      after_id = record.id();
    }
    if (std::fflush(stdout) != 0) return kExitError;  // nobody reads on
    if (news->last) return kExitGood;
    SleepUnlessInterrupted(kFollowInterval);
    if (Interrupts() > 0) return InterruptedError();
  }
}

absl::StatusOr<int> Logs(const GlobalOptions& global, const Options& options) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(global));
  if (options.follow) return Follow(global, *connection, options.run);
  ASSIGN_OR_RETURN(const v1::GetLogsReply lines, connection->client().GetLogs(options.run));
  if (global.json) {
    PrintJson(lines);
    return kExitGood;
  }
  for (const v1::LogRecord& record : lines.lines()) PrintRecord(record);
  return kExitGood;
}

}  // namespace

void AddLogs(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command = line.Add("logs", "show what a run's trainers said",
                             [&global = line.options, options] { return Logs(global, *options); });
  command.AddOption("RUN", &options->run, "number or SWEEP/NAME").Required();
  command.AddFlag("-f,--follow", &options->follow, "go on until the run ends");
}

}  // namespace qsweep::qctl
