// qctl compare SWEEP --by FIELD: what one field makes of the results.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "analysis/compare_by.h"
#include "analysis/numbers.h"
#include "analysis/statistics.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"
#include "qctl/records.h"

namespace qsweep::qctl {
namespace {

constexpr size_t kCurveWidth = 16;

struct Options {
  std::string sweep;
  std::string path = "quantization";
};

std::string MeanText(const v1::Statistic& statistic, const Style& style) {
  if (statistic.n() == 0) return "";
  const std::string mean = absl::StrFormat("%.2f", 100 * statistic.mean());
  if (!statistic.has_ci_low()) return absl::StrCat(mean, " %");
  return absl::StrCat(mean, style.PlusMinus(),
                      absl::StrFormat("%.2f %%", 100 * HalfWidth(statistic)));
}

std::string DifferenceText(const v1::Statistic& difference, const Style& style) {
  if (difference.n() == 0) return "";
  const std::string mean = SignedNumber(100 * difference.mean(), 2);
  if (!difference.has_ci_low()) return mean;
  return absl::StrCat(mean, style.PlusMinus(),
                      absl::StrFormat("%.2f", 100 * HalfWidth(difference)));
}

using Align = Table::Align;

void PrintResults(const v1::FieldComparison& comparison) {
  const Style& style = OutStyle();
  Table table({{comparison.path()},
               {"runs", Align::kRight},
               {absl::StrCat("top-1", style.PlusMinus(), "CI95"), Align::kRight},
               {"weights", Align::kRight},
               {"peak", Align::kRight},
               {"img/s", Align::kRight},
               {"top-1 by epoch"}});
  for (const v1::FieldValueResult& value : comparison.values()) {
    const bool any = value.top1().n() > 0;
    table.AddRow({value.value(), absl::StrCat(value.runs(), " of ", value.planned()),
                  Cell(MeanText(value.top1(), style), Ink::kBold),
                  any ? FormatBytes(value.weights_bytes().mean()) : "",
                  any ? FormatBytes(value.peak_bytes().mean()) : "",
                  any ? absl::StrFormat("%.1f", value.images_per_s().mean()) : "",
                  style.Sparkline({value.curve().begin(), value.curve().end()}, kCurveWidth)});
  }
  PrintTable(table);
}

// Of every value but the first, against it.
void PrintTests(const v1::FieldComparison& comparison) {
  const Style& style = OutStyle();
  Table table({{absl::StrCat("against ", comparison.values(0).value())},
               {"seeds", Align::kRight},
               {"pairs", Align::kRight},
               {absl::StrCat("difference", style.PlusMinus(), "CI95"), Align::kRight},
               {"p (Holm)", Align::kRight},
               {"remark"}});
  for (const v1::FieldValueResult& value : comparison.values()) {
    if (!value.has_against_first()) continue;
    const v1::PairedResult& paired = value.against_first();
    table.AddRow({value.value(), absl::StrCat(paired.difference().n()),
                  absl::StrCat(paired.pairs()), DifferenceText(paired.difference(), style),
                  value.has_p_holm() ? PNumber(value.p_holm()) : "", paired.note()});
  }
  PrintTable(table);
}

void PrintComparison(const v1::FieldComparison& comparison) {
  PrintResults(comparison);
  if (comparison.values_size() > 1) {
    PrintLine("");
    PrintTests(comparison);
    Note(absl::StrCat(
        "Of runs that have a partner. Differences in points of top-1 against ", comparison.path(),
        " ", comparison.values(0).value(), ", everything else equal",
        comparison.along().empty() ? "" : " but what changes with it throughout: ",
        absl::StrJoin(comparison.along(), ", "),
        "; averaged within a seed and tested over seeds. CI95 is half of the 95 % interval."));
  }
  if (!comparison.note().empty()) Note(absl::StrCat("Note that ", comparison.note(), "."));
}

absl::StatusOr<int> Compare(const GlobalOptions& global, const Options& options) {
  RETURN_IF_ERROR(CompareBy({}, options.path).status());  // before anything is started
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(global));
  ASSIGN_OR_RETURN(const std::vector<RunFacts> runs,
                   ReadFacts(connection->client(), options.sweep, {"eval/top1"}));
  ASSIGN_OR_RETURN(const v1::FieldComparison comparison, CompareBy(runs, options.path));
  if (global.json) {
    PrintJson(comparison);
  } else {
    PrintComparison(comparison);
  }
  return kExitGood;
}

}  // namespace

void AddCompare(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command =
      line.Add("compare", "compare a sweep's results by one field of their specs",
               [&global = line.options, options] { return Compare(global, *options); });
  command.AddOption("SWEEP", &options->sweep, "number or name").Required();
  command.AddOption("--by", &options->path, "such as quantization.bits, lora.rank, model.name");
}

}  // namespace qsweep::qctl
