// qctl metrics RUN: its series, summed up, or every point of those that are named.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

struct Options {
  std::string run;
  std::vector<std::string> names;
};

using Align = Table::Align;

void PrintPoints(const v1::GetMetricsReply& metrics) {
  Table table({{"metric"}, {"step", Align::kRight}, {"value", Align::kRight}});
  for (const v1::MetricPoint& point : metrics.points()) {
    table.AddRow({point.name(), absl::StrCat(point.step()), FormatNumber(point.value())});
  }
  PrintTable(table);
}

// One line a series. Points come by name.
void PrintSeries(const v1::GetMetricsReply& metrics) {
  Table table({{"metric"},
               {"points", Align::kRight},
               {"last step", Align::kRight},
               {"first", Align::kRight},
               {"last", Align::kRight},
               {"least", Align::kRight},
               {"greatest", Align::kRight}});
  const auto& points = metrics.points();
  for (auto begin = points.begin(); begin != points.end();) {
    const auto end = std::find_if(
        begin, points.end(), [&](const v1::MetricPoint& p) { return p.name() != begin->name(); });
    const auto [least, greatest] = std::minmax_element(
        begin, end, [](const auto& a, const auto& b) { return a.value() < b.value(); });
    const v1::MetricPoint& last = *(end - 1);
    table.AddRow({begin->name(), FormatCount(end - begin), FormatCount(last.step()),
                  FormatNumber(begin->value()), FormatNumber(last.value()),
                  FormatNumber(least->value()), FormatNumber(greatest->value())});
    begin = end;
  }
  PrintTable(table);
}

absl::StatusOr<int> Metrics(const GlobalOptions& global, const Options& options) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(global));
  ASSIGN_OR_RETURN(const v1::GetMetricsReply metrics,
                   connection->client().GetMetrics(options.run, options.names));
  if (global.json) {
    PrintJson(metrics);
  } else if (metrics.points().empty()) {
    Note(options.names.empty()
             ? "No points yet."
             : absl::StrCat("No points of ", absl::StrJoin(options.names, ", "), "; `qctl metrics ",
                            options.run, "` lists what there is."));
  } else if (options.names.empty()) {
    PrintSeries(metrics);
  } else {
    PrintPoints(metrics);
  }
  return kExitGood;
}

}  // namespace

void AddMetrics(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command =
      line.Add("metrics", "show what a run measured",
               [&global = line.options, options] { return Metrics(global, *options); });
  command.AddOption("RUN", &options->run, "number or SWEEP/NAME").Required();
  command
      .AddOption("--name", &options->names, "every point of these series, such as loss,eval/top1")
      .CommaSeparated();
}

}  // namespace qsweep::qctl
