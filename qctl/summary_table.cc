#include "qctl/summary_table.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "analysis/summary.h"
#include "qctl/format.h"
#include "qctl/table.h"

namespace qsweep::qctl {
namespace {

constexpr int kFailuresShown = 20;

std::string MeanAndDeviation(const v1::Statistic& statistic, const Style& style) {
  const std::string mean = absl::StrFormat("%.2f", statistic.mean() * 100);
  if (!statistic.has_sd()) return absl::StrCat(mean, " %");
  return absl::StrCat(mean, style.PlusMinus(), absl::StrFormat("%.2f %%", statistic.sd() * 100));
}

// −71 %; a dash where there is no saving.
std::string Saved(double fraction, const Style& style) {
  const double percent = fraction * 100;
  if (percent > -0.5 && percent < 0.5) return style.Dash();
  return absl::StrFormat("%s%.0f %%", percent > 0 ? style.Minus() : "+", std::abs(percent));
}

std::string GroupTable(const v1::SweepSummary& summary, const Style& style, size_t width) {
  using Align = Table::Align;
  std::vector<Table::Column> columns;
  std::vector<const GroupTrait*> varying;
  std::vector<std::string> shared;
  for (const GroupTrait& trait : GroupTraits()) {
    const std::string first = trait.text(summary.groups(0));
    const bool same = std::all_of(summary.groups().begin(), summary.groups().end(),
                                  [&](const auto& group) { return trait.text(group) == first; });
    if (!same) {
      varying.push_back(&trait);
      columns.push_back({trait.title});
    } else if (!first.empty()) {
      shared.push_back(Printable(first));
    }
  }
  for (const char* title : {"quantization", "differs in"}) columns.push_back({title});
  const std::string top1 = absl::StrCat("top-1", style.PlusMinus(), "sd");
  for (const absl::string_view title :
       {"runs", top1.c_str(), "weights", "vs fp32", "peak memory", "vs none", "img/s"}) {
    columns.push_back({std::string(title), Align::kRight});
  }
  Table table(columns);
  for (const v1::GroupSummary& group : summary.groups()) {
    std::vector<Cell> row;
    for (const GroupTrait* trait : varying) row.emplace_back(trait->text(group));
    row.emplace_back(group.quantization());
    row.emplace_back(WithoutSections(group.differs()));
    row.emplace_back(absl::StrCat(group.top1().n()));
    row.emplace_back(MeanAndDeviation(group.top1(), style), Ink::kBold);
    row.emplace_back(FormatBytes(group.weights_bytes()));
    row.emplace_back(Saved(group.weights_reduction(), style), Ink::kGreen);
    row.emplace_back(FormatBytes(group.peak_bytes()));
    row.emplace_back(group.has_peak_reduction() ? Saved(group.peak_reduction(), style) : "",
                     Ink::kGreen);
    row.emplace_back(absl::StrFormat("%.1f", group.images_per_s()));
    table.AddRow(std::move(row));
  }
  const std::string heading =
      shared.empty()
          ? ""
          : absl::StrCat("  ", style.Paint(Ink::kDim, absl::StrJoin(shared, style.Dot())), "\n\n");
  return absl::StrCat(heading, table.Render(style, width, 2));
}

}  // namespace

std::string RenderSummary(const v1::SweepSummary& summary, const Style& style, size_t width) {
  const int total = summary.succeeded() + summary.failed() + summary.cancelled();
  std::string out = absl::StrCat(
      style.Paint(Ink::kBold, Printable(summary.name())), ": ", summary.succeeded(), " of ",
      Plural(total, "run"), " succeeded",
      summary.reused() > 0 ? absl::StrCat(" (", summary.reused(), " reused)") : "", "\n");
  if (!summary.groups().empty()) absl::StrAppend(&out, GroupTable(summary, style, width));
  for (int i = 0; i < std::min(summary.failures_size(), kFailuresShown); ++i) {
    const v1::RunFailure& failure = summary.failures(i);
    absl::StrAppend(&out, i == 0 ? "\n" : "", "  ", style.Paint(Ink::kRed, style.Cross()), " ",
                    Printable(failure.run()), ": ", Printable(failure.error()), "\n");
  }
  if (summary.failures_size() > 0) {
    const int more = summary.failures_size() - kFailuresShown;
    absl::StrAppend(&out, more > 0 ? absl::StrCat("  and ", more, " more\n") : "",
                    "\n  `qctl show ", summary.name(), "/RUN` tells more; `qctl retry ",
                    summary.sweep_id(), "` lets them be tried again\n");
  }
  absl::StrAppend(&out, "\n  files: ", summary.directory(), "/\n");
  return out;
}

}  // namespace qsweep::qctl
