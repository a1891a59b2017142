// Memory against accuracy.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "analysis/figures/figures.h"

namespace qsweep {
namespace {

// What a point looks like, by group: its quantization and, where they vary, the method and what
// else tells groups apart; the quantization alone if that were more keys than a panel has room for.
std::vector<std::string> PointKeys(const Analysis& analysis) {
  const std::vector<Group>& groups = analysis.groups;
  const auto varies = [&groups](const std::string& (v1::GroupSummary::*field)() const) {
    return std::any_of(groups.begin(), groups.end(), [&](const Group& group) {
      return (group.summary.*field)() != (groups[0].summary.*field)();
    });
  };
  const bool methods = varies(&v1::GroupSummary::method);
  const bool quantizations = varies(&v1::GroupSummary::quantization);
  std::vector<std::string> keys, short_keys;
  for (const Group& group : groups) {
    const v1::GroupSummary& g = group.summary;
    std::vector<std::string> parts;
    if (methods) parts.push_back(g.method());
    if (!g.differs().empty()) parts.push_back(WithoutSections(g.differs()));
    if (quantizations || parts.empty()) parts.push_back(g.quantization());
    keys.push_back(absl::StrJoin(parts, " "));
    short_keys.push_back(g.quantization());
  }
  const bool too_many = std::set<std::string>(keys.begin(), keys.end()).size() > kMaxCurves;
  return too_many ? short_keys : keys;
}

std::string ParetoPanel(const Analysis& analysis, const v1::ParetoFront& front, size_t number,
                        const std::vector<std::string>& keys, Palette* palette, std::string* data) {
  std::map<std::string, std::string> rows;  // by key
  std::string stairs;
  Extent x, y;
  for (const v1::ParetoPoint& point : front.points()) {
    const auto group = static_cast<size_t>(point.group_index());  // two may have one label
    const v1::Statistic& top1 = analysis.groups[group].summary.top1();
    x.Add(point.bytes() / 1e6);
    y.Add(100 * point.top1());
    if (top1.has_ci_low()) {
      y.Add(std::max(0.0, 100 * top1.ci_low()));
      y.Add(std::min(100.0, 100 * top1.ci_high()));
    }
    absl::StrAppend(&rows[keys[group]], DataNumber(point.bytes() / 1e6), " ",
                    WithInterval(top1, /*least=*/0), "\n");
    if (point.dominated_by_size() == 0) {
      absl::StrAppend(&stairs, DataNumber(point.bytes() / 1e6), " ", DataNumber(100 * point.top1()),
                      "\n");
    }
  }
  const std::string name = absl::StrCat("$pareto", number);
  absl::StrAppend(data, name, "_front << EOD\n", stairs, "EOD\n");
  std::vector<std::string> plots = {
      absl::StrCat(name, "_front using 1:2 with steps lw 1 lc rgb '#999999' title 'front'")};
  for (const auto& [key, points] : rows) {
    const std::string block = absl::StrCat(name, "_", plots.size() - 1);
    absl::StrAppend(data, block, " << EOD\n", points, "EOD\n");
    plots.push_back(absl::StrCat(block, " using 1:2:3:4 with yerrorbars lw 0.8 ps 0.55 ",
                                 palette->StyleOf(key), " title ", GnuplotText(key)));
  }
  return absl::StrCat(
      PanelTitle(absl::StrCat(front.model(), " · ", front.dataset(),
                              front.computed().empty() ? "" : " · ", front.computed())),
      "set xlabel '",
      front.memory() == "weights" ? "base as held (MB)" : "peak memory while training (MB)",
      "'\nset ylabel 'top-1 (%)'\nset autoscale\nset yrange [0<*:*<100]\n", x.Tics("x"),
      y.Tics("y"), "set offsets graph 0.08, graph 0.08, graph 0.08, graph 0.08\n", "plot ",
      absl::StrJoin(plots, ", "), "\nset offsets 0,0,0,0\n");
}

}  // namespace

Figure ParetoFigure(const Analysis& analysis) {
  Figure figure{.name = "pareto", .title = "Memory against accuracy"};
  Palette palette = PaletteOf(analysis);
  const std::vector<std::string> keys = PointKeys(analysis);
  const auto& fronts = analysis.details.pareto();
  // Weights and the peaks of one model and dataset side by side.
  std::vector<int> order;
  for (int i = 0; i < fronts.size(); ++i) {
    if (fronts[i].memory() != "weights") continue;
    for (int k = 0; k < fronts.size(); ++k) {
      const bool same =
          fronts[k].model() == fronts[i].model() && fronts[k].dataset() == fronts[i].dataset();
      if (k == i || (same && fronts[k].memory() == "peak")) order.push_back(k);
    }
  }
  for (size_t i = 0; i < order.size() && i < kMaxPanels; ++i) {
    figure.panels.push_back(ParetoPanel(analysis, fronts[order[i]], static_cast<size_t>(order[i]),
                                        keys, &palette, &figure.data));
  }
  figure.caption = absl::StrCat(
      "Memory against best top-1, a point for each configuration (mean over seeds). Error bars: "
      "95 % t-intervals over seeds, none where there is one seed. Grey: what no configuration "
      "beats in both. Peaks are of one way of computing in each panel (micro-batch, checkpointing, "
      "threads); they vary by about 1 % between runs, so that nearer ones do not differ.",
      LeftOut(figure.panels.size(), order.size()));
  return figure;
}

}  // namespace qsweep
