// Figures of what happens in the course of training.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "analysis/figures/figures.h"
#include "analysis/statistics.h"

namespace qsweep {
namespace {

// What a panel draws for each group, with a band over seeds.
struct Curve {
  Series RunFacts::*series;
  double scale;
  bool by_epoch;     // over epochs, not steps
  bool logarithmic;  // mean and deviation are of the logarithm: a band never reaches zero
  const char* settings;
};

constexpr Curve kLoss = {&RunFacts::loss, 1, false, false,
                         "set xlabel 'optimizer step'\nset ylabel 'training loss'\n"
                         "set offsets 0, 0, 0, 0\nset yrange [*:*]\n"};
constexpr Curve kTop1 = {&RunFacts::top1, 100, true, false,
                         "set xlabel 'epoch'\nset ylabel 'top-1 (%)'\n"
                         "set offsets 0.1, 0.1, 0, 0\nset yrange [0<*:*<100]\n"};
constexpr Curve kGradientNorm = {&RunFacts::gradient_norm, 1, false, true,
                                 "set xlabel 'optimizer step'\nset ylabel 'gradient norm'\n"
                                 "set logscale y\nset ytics autofreq\n"};

// The runs' values at each step that all of them have, transformed as the curve says.
std::map<int64_t, std::vector<double>> SharedValues(const Analysis& analysis, const Group& group,
                                                    const Curve& curve) {
  std::map<int64_t, std::vector<double>> values;
  size_t runs = 0;
  for (const size_t i : group.runs) {
    const Series& s = analysis.runs[i].*curve.series;
    if (s.values.empty()) continue;
    ++runs;
    for (size_t k = 0; k < s.values.size(); ++k) {
      if (curve.logarithmic && !(s.values[k] > 0)) continue;
      values[curve.by_epoch ? static_cast<int64_t>(k) + 1 : s.steps[k]].push_back(
          curve.logarithmic ? std::log(s.values[k]) : curve.scale * s.values[k]);
    }
  }
  // A run that stopped early would make the mean jump.
  std::erase_if(values, [runs](const auto& at) { return at.second.size() < runs; });
  return values;
}

// Mean and standard deviation.
std::string BandRows(const Analysis& analysis, const Group& group, const Curve& curve,
                     Extent* x_extent, Extent* y_extent) {
  std::string rows;
  for (const auto& [x, y] : SharedValues(analysis, group, curve)) {
    const v1::Statistic s = Describe(y);
    absl::StrAppend(&rows, x);
    for (const double value : {s.mean(), s.mean() - s.sd(), s.mean() + s.sd()}) {
      const double drawn = curve.logarithmic ? std::exp(value) : value;
      absl::StrAppend(&rows, " ", DataNumber(drawn));
      y_extent->Add(drawn);
    }
    absl::StrAppend(&rows, "\n");
    x_extent->Add(static_cast<double>(x));
  }
  return rows;
}

// Empty if no run of the family has such a series.
std::string BandPanel(const Analysis& analysis, const Family& family, const Curve& curve,
                      const std::string& block, Palette* palette, std::string* data) {
  std::vector<std::string> bands, lines;
  Extent x, y;
  for (size_t g = 0; g < family.groups.size() && g < kMaxCurves; ++g) {
    const Group& group = *family.groups[g];
    const std::string rows = BandRows(analysis, group, curve, &x, &y);
    if (rows.empty()) continue;
    const std::string name = absl::StrCat(block, "_", g);
    absl::StrAppend(data, name, " << EOD\n", rows, "EOD\n");
    const std::string &key = family.names[g], color = palette->ColorOf(key);
    if (group.summary.top1().n() > 1) {
      bands.push_back(absl::StrCat(
          name, " using 1:3:4 with filledcurves fs transparent solid 0.15 noborder lc rgb '", color,
          "' notitle"));
    }
    const bool few = std::count(rows.begin(), rows.end(), '\n') <= 20;
    lines.push_back(absl::StrCat(name, " using 1:2 with ", few ? "linespoints ps 0.4" : "lines",
                                 " lw 1.2 ",
                                 few ? palette->StyleOf(key) : absl::StrCat("lc rgb '", color, "'"),
                                 " title ", GnuplotText(key)));
  }
  if (lines.empty()) return "";
  bands.insert(bands.end(), lines.begin(), lines.end());
  return absl::StrCat(PanelTitle(family.title), "set autoscale\n", x.Tics("x", /*least_step=*/1),
                      y.Tics("y"), curve.settings, "plot ", absl::StrJoin(bands, ", "),
                      "\nunset logscale\n");
}

}  // namespace

Figure ConvergenceFigure(const Analysis& analysis) {
  Figure figure{.name = "convergence", .title = "Convergence"};
  Palette palette = PaletteOf(analysis);
  const std::vector<Family> families = Families(analysis);
  size_t shown = 0;
  for (size_t f = 0; f < families.size() && shown < kMaxPanels; ++f) {
    const std::string loss =
        BandPanel(analysis, families[f], kLoss, absl::StrCat("$loss", f), &palette, &figure.data);
    const std::string top1 =
        BandPanel(analysis, families[f], kTop1, absl::StrCat("$top1_", f), &palette, &figure.data);
    for (const std::string& panel : {loss, top1}) {
      if (panel.empty()) continue;
      figure.panels.push_back(panel);
      ++shown;
    }
  }
  figure.caption = absl::StrCat(
      "Training loss and top-1 on the evaluation images. Lines: means over seeds, to where the "
      "first of them ends; bands: one standard deviation, none where there is one seed.",
      CurvesLeftOut(families),
      shown < 2 * families.size() ? LeftOut(shown, 2 * families.size()) : "");
  return figure;
}

Figure GradientFigure(const Analysis& analysis) {
  Figure figure{.name = "gradients", .title = "Gradient norms"};
  Palette palette = PaletteOf(analysis);
  const std::vector<Family> families = Families(analysis);
  for (size_t f = 0; f < families.size() && figure.panels.size() < kMaxPanels; ++f) {
    std::string panel = BandPanel(analysis, families[f], kGradientNorm,
                                  absl::StrCat("$gradient", f), &palette, &figure.data);
    if (!panel.empty()) figure.panels.push_back(std::move(panel));
  }
  figure.caption = absl::StrCat(
      "Global L2 norm of each step's gradient before clipping. Lines: geometric means over seeds, "
      "to where the first of them ends; bands: one standard deviation of the logarithm.",
      CurvesLeftOut(families), LeftOut(figure.panels.size(), families.size()));
  return figure;
}

}  // namespace qsweep
