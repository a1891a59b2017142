// Figures about accuracy.
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "analysis/figures/figures.h"

namespace qsweep {
namespace {

// Of a statistic, in percent; the value itself where there is no interval.
std::string WithInterval(const v1::Statistic& s) {
  return absl::StrCat(DataNumber(100 * s.mean()), " ",
                      DataNumber(100 * (s.has_ci_low() ? s.ci_low() : s.mean())), " ",
                      DataNumber(100 * (s.has_ci_low() ? s.ci_high() : s.mean())));
}

void AppendOnce(const std::string& text, std::vector<std::string>* list) {
  if (std::find(list->begin(), list->end(), text) == list->end()) list->push_back(text);
}

// ---- Pareto

std::string ParetoPanel(const Analysis& analysis, const v1::ParetoFront& front, size_t number,
                        Palette* palette, std::string* data) {
  std::map<std::string, const v1::GroupSummary*> by_label;
  for (const Group& group : analysis.groups) by_label[group.summary.label()] = &group.summary;
  std::vector<std::string> quantizations;
  std::map<std::string, std::string> rows;
  std::string stairs;
  Extent x, y;
  for (const v1::ParetoPoint& point : front.points()) {
    const v1::GroupSummary& summary = *by_label.at(point.group());
    x.Add(point.bytes() / 1e6);
    for (const double top1 : {point.top1(), summary.top1().ci_low(), summary.top1().ci_high()}) {
      if (top1 == point.top1() || summary.top1().has_ci_low()) y.Add(100 * top1);
    }
    AppendOnce(summary.quantization(), &quantizations);
    absl::StrAppend(&rows[summary.quantization()], DataNumber(point.bytes() / 1e6), " ",
                    WithInterval(summary.top1()), "\n");
    if (point.dominated_by_size() == 0) {
      absl::StrAppend(&stairs, DataNumber(point.bytes() / 1e6), " ", DataNumber(100 * point.top1()),
                      "\n");
    }
  }
  const std::string name = absl::StrCat("$pareto", number);
  absl::StrAppend(data, name, "_front << EOD\n", stairs, "EOD\n");
  std::vector<std::string> plots = {
      absl::StrCat(name, "_front using 1:2 with steps lw 1 lc rgb '#999999' title 'front'")};
  for (size_t i = 0; i < quantizations.size(); ++i) {
    const std::string block = absl::StrCat(name, "_", i);
    absl::StrAppend(data, block, " << EOD\n", rows[quantizations[i]], "EOD\n");
    plots.push_back(absl::StrCat(block, " using 1:2:3:4 with yerrorbars lw 0.8 ps 0.55 ",
                                 palette->StyleOf(quantizations[i]), " title ",
                                 GnuplotText(quantizations[i])));
  }
  return absl::StrCat(
      "set title ", GnuplotText(absl::StrCat(front.model(), " · ", front.dataset())), "\n",
      "set xlabel '",
      front.memory() == "weights" ? "model as held (MB)" : "peak memory while training (MB)",
      "'\nset ylabel 'top-1 (%)'\nset autoscale\n", x.Tics("x"), y.Tics("y"),
      "set offsets graph 0.08, graph 0.08, graph 0.08, "
      "graph 0.08\n",
      "plot ", absl::StrJoin(plots, ", "), "\nset offsets 0,0,0,0\n");
}

// ---- curves with a band over seeds

// Mean and standard deviation of the runs' values at each step that all of them have.
std::string BandRows(const Analysis& analysis, const Group& group, Series RunFacts::*series,
                     double scale, bool by_epoch, Extent* x_extent, Extent* y_extent) {
  std::map<int64_t, std::vector<double>> values;
  size_t runs = 0;
  for (const size_t i : group.runs) {
    const Series& s = analysis.runs[i].*series;
    if (s.values.empty()) continue;
    ++runs;
    for (size_t k = 0; k < s.values.size(); ++k) {
      values[by_epoch ? static_cast<int64_t>(k) + 1 : s.steps[k]].push_back(scale * s.values[k]);
    }
  }
  std::string rows;
  for (const auto& [x, y] : values) {
    if (y.size() < runs) continue;  // a run that stopped early would make the mean jump
    double sum = 0, squares = 0;
    for (const double v : y) sum += v;
    const double n = static_cast<double>(y.size()), mean = sum / n;
    for (const double v : y) squares += (v - mean) * (v - mean);
    const double sd = y.size() > 1 ? std::sqrt(squares / (n - 1)) : 0;
    absl::StrAppend(&rows, x, " ", DataNumber(mean), " ", DataNumber(mean - sd), " ",
                    DataNumber(mean + sd), "\n");
    x_extent->Add(static_cast<double>(x));
    y_extent->Add(mean - sd);
    y_extent->Add(mean + sd);
  }
  return rows;
}

// Empty if no run of the family has such a series.
std::string BandPanel(const Analysis& analysis, const Family& family, Series RunFacts::*series,
                      double scale, bool by_epoch, const std::string& block,
                      const std::string& settings, Palette* palette, std::string* data) {
  std::vector<std::string> bands, lines;
  Extent x, y;
  for (size_t g = 0; g < family.groups.size() && g < kMaxCurves; ++g) {
    const Group& group = *family.groups[g];
    const std::string rows = BandRows(analysis, group, series, scale, by_epoch, &x, &y);
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
  return absl::StrCat("set title ", GnuplotText(family.title), "\nset autoscale\n",
                      x.Tics("x", by_epoch ? 1 : 0), y.Tics("y"), settings, "plot ",
                      absl::StrJoin(bands, ", "), "\nunset logscale\n");
}

// ---- forest plot

struct ForestRow {
  std::string label, quantization;
  const v1::Comparison* comparison;
};

// The pooled comparisons last, unless there is one adapter only. What all rows share is in no
// label.
std::vector<ForestRow> ForestRows(const Analysis& analysis) {
  std::vector<std::pair<const v1::Comparison*, std::string>> all;
  const auto add = [&all](const v1::Comparison& c, const std::string& adapter) {
    if (c.result().difference().n() > 0) all.emplace_back(&c, adapter);
  };
  for (const auto& c : analysis.details.comparisons_by_adapter()) add(c, c.adapter());
  if (all.size() > static_cast<size_t>(analysis.summary.comparisons_size())) {
    for (const auto& c : analysis.summary.comparisons()) add(c, "all adapters");
  }
  const auto parts = [](const auto& row) {
    const v1::Comparison& c = *row.first;
    return std::vector<std::string>{c.model(), c.dataset(), row.second,
                                    WithoutSections(c.differs())};
  };
  bool varies[4] = {};
  for (const auto& row : all) {
    for (size_t k = 0; k < 4; ++k) varies[k] |= parts(row)[k] != parts(all.front())[k];
  }
  std::vector<ForestRow> rows;
  for (const auto& row : all) {
    std::vector<std::string> label;
    for (size_t k = 0; k < 4; ++k) {
      std::string part = parts(row)[k];
      if (varies[k] && !part.empty()) label.push_back(std::move(part));
    }
    label.push_back(row.first->quantization());
    rows.push_back({absl::StrJoin(label, ", "), row.first->quantization(), row.first});
  }
  return rows;
}

// Rows at y = 1, 2, ... from above, around the line of no difference. What their names leave of a
// column's width is little: no key, as a row says what it is, and the axis' title ends where the
// axis does.
void AddForest(const char* xlabel, size_t rows, const Extent& x,
               const std::vector<std::string>& plots, Figure* figure) {
  figure->panels.push_back(absl::StrCat(
      "unset title\nunset key\nset xlabel ' '\nset label 1 '", xlabel,
      "' at graph 1, graph 0 right offset 0,-2.2\nunset ylabel\nset yrange [", rows,
      ".7:0.3]\nset autoscale x\nset offsets graph 0.03, graph 0.03, 0, 0\n", x.Tics("x"),
      "set ytics font ',6'\nset grid xtics noytics lw 0.4 lc rgb '#dddddd'\n"
      "set arrow 1 from 0, graph 0 to 0, graph 1 nohead lw 0.8 lc rgb '#404040'\nplot ",
      absl::StrJoin(plots, ", "), "\n"));
  figure->panel_height_in = 0.6 + 0.17 * static_cast<double>(rows);
}

// ---- published results

// Of the score, relative to the unquantized base's.
struct Change {
  std::string label;
  double percent;
};

// Mean best top-1 of the unquantized groups of the effect's setting; 0: there is none.
double UnquantizedTop1(const Analysis& analysis, const v1::QuantizationEffect& effect) {
  double sum = 0;
  int groups = 0;
  for (const v1::GroupSummary& g : analysis.summary.groups()) {
    if (g.model() != effect.model() || g.dataset() != effect.dataset() ||
        g.quantization() != "none" || g.top1().n() == 0) {
      continue;
    }
    sum += g.top1().mean();
    ++groups;
  }
  return groups > 0 ? sum / groups : 0;
}

std::vector<Change> MeasuredChanges(const Analysis& analysis) {
  const auto& effects = analysis.details.effects();
  const bool one_setting = std::all_of(effects.begin(), effects.end(), [&](const auto& e) {
    return e.model() == effects[0].model() && e.dataset() == effects[0].dataset();
  });
  std::vector<Change> changes;
  for (const v1::QuantizationEffect& effect : effects) {
    const double base = UnquantizedTop1(analysis, effect);
    if (!effect.has_top1_difference() || base == 0 || changes.size() >= kMaxRows / 2) continue;
    changes.push_back(
        {absl::StrCat("ours, ", effect.quantization(),
                      one_setting ? "" : absl::StrCat(": ", effect.model(), ", ", effect.dataset()),
                      effect.differs().empty()
                          ? ""
                          : absl::StrCat(" (", WithoutSections(effect.differs()), ")")),
         100 * effect.top1_difference() / base});
  }
  return changes;
}

std::vector<Change> PublishedChanges(const Analysis& analysis) {
  std::vector<Change> changes;
  for (const v1::LiteratureFigure& l : analysis.details.literature()) {
    const auto base = std::find_if(l.values().begin(), l.values().end(),
                                   [](const auto& v) { return v.method() == "LoRA BF16"; });
    if (base == l.values().end()) continue;
    for (const v1::LiteratureValue& value : l.values()) {
      if (!absl::StartsWith(value.method(), "QLoRA")) continue;
      changes.push_back({absl::StrCat(value.method(), ": ", l.what()),
                         100 * (value.value() / base->value() - 1)});
    }
  }
  return changes;
}

}  // namespace

Figure ParetoFigure(const Analysis& analysis) {
  Figure figure{.name = "pareto", .title = "Memory against accuracy"};
  Palette palette = PaletteOf(analysis);
  size_t shown = 0;
  const size_t all = static_cast<size_t>(analysis.details.pareto_size());
  // Weights and peak of one model and dataset side by side.
  for (size_t i = 0; i < all / 2 && shown < kMaxPanels; ++i) {
    for (const size_t at : {i, all / 2 + i}) {
      figure.panels.push_back(ParetoPanel(analysis, analysis.details.pareto(static_cast<int>(at)),
                                          at, &palette, &figure.data));
      ++shown;
    }
  }
  figure.caption = absl::StrCat(
      "Memory against best top-1, a point for each configuration (mean over seeds). Error bars: 95 "
      "% "
      "t-intervals over seeds, none where there is one seed. Grey: what no configuration beats in "
      "both.",
      LeftOut(shown, all));
  return figure;
}

Figure DifferenceFigure(const Analysis& analysis) {
  Figure figure{
      .name = "difference", .title = "Accuracy against the unquantized base", .columns = 1};
  const std::vector<ForestRow> rows = ForestRows(analysis);
  const size_t shown = std::min(rows.size(), kMaxRows);
  if (shown == 0) return figure;
  Palette palette = PaletteOf(analysis);
  std::vector<std::string> quantizations;
  std::map<std::string, std::string> data;
  std::string margins;
  Extent x;
  for (size_t i = 0; i < shown; ++i) {
    const ForestRow& row = rows[rows.size() - shown + i];  // the pooled ones are last
    const size_t y = i + 1;
    AppendOnce(row.quantization, &quantizations);
    const v1::Statistic& d = row.comparison->result().difference();
    for (const double value : {d.mean(), d.ci_low(), d.ci_high(), -row.comparison->margin(), 0.0}) {
      x.Add(100 * value);  // an absent interval is 0, which is on the axis anyway
    }
    absl::StrAppend(&data[row.quantization], WithInterval(d), " ", y, " ", DataText(row.label),
                    "\n");
    absl::StrAppend(&margins, DataNumber(-100 * row.comparison->margin()), " ", y - 0.4, "\n",
                    DataNumber(-100 * row.comparison->margin()), " ", y + 0.4, "\n\n");
  }
  absl::StrAppend(&figure.data, "$margins << EOD\n", margins, "EOD\n");
  std::vector<std::string> plots = {"$margins using 1:2 with lines dt 3 lw 1 lc rgb '#777777'"};
  for (size_t i = 0; i < quantizations.size(); ++i) {
    const std::string block = absl::StrCat("$difference", i);
    absl::StrAppend(&figure.data, block, " << EOD\n", data[quantizations[i]], "EOD\n");
    plots.push_back(absl::StrCat(block, " using 1:4:2:3:ytic(5) with xerrorbars lw 1 ps 0.6 ",
                                 palette.StyleOf(quantizations[i])));
  }
  AddForest("difference in best top-1 (points)", shown, x, plots, &figure);
  figure.caption = absl::StrCat(
      "Best top-1 of quantized minus unquantized runs, paired by everything else. Bars: 95 % "
      "t-intervals over the "
      "pairs (none where there is one pair). Dotted: the loss that the study allows, 2 points at 8 "
      "bits, 5 at 4.",
      shown < rows.size()
          ? absl::StrCat(" The last ", shown, " of ", rows.size(), " rows are shown.")
          : "");
  return figure;
}

Figure ConvergenceFigure(const Analysis& analysis) {
  Figure figure{.name = "convergence", .title = "Convergence"};
  Palette palette = PaletteOf(analysis);
  const std::vector<Family> families = Families(analysis);
  size_t shown = 0;
  for (size_t f = 0; f < families.size() && shown < kMaxPanels; ++f) {
    const std::string loss = BandPanel(
        analysis, families[f], &RunFacts::loss, 1, false, absl::StrCat("$loss", f),
        "set xlabel 'optimizer step'\nset ylabel 'training loss'\nset offsets 0, 0, 0, 0\n",
        &palette, &figure.data);
    const std::string top1 =
        BandPanel(analysis, families[f], &RunFacts::top1, 100, true, absl::StrCat("$top1_", f),
                  "set xlabel 'epoch'\nset ylabel 'top-1 (%)'\nset offsets 0.1, 0.1, 0, 0\n",
                  &palette, &figure.data);
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
    std::string panel = BandPanel(analysis, families[f], &RunFacts::gradient_norm, 1, false,
                                  absl::StrCat("$gradient", f),
                                  "set xlabel 'optimizer step'\nset ylabel 'gradient norm'\nset "
                                  "logscale y\nset ytics autofreq\n",
                                  &palette, &figure.data);
    if (!panel.empty()) figure.panels.push_back(std::move(panel));
  }
  figure.caption = absl::StrCat(
      "Global L2 norm of each step's gradient before clipping. Lines: means over seeds, to where "
      "the first of them ends; bands: one standard deviation.",
      CurvesLeftOut(families), LeftOut(figure.panels.size(), families.size()));
  return figure;
}

Figure LiteratureComparison(const Analysis& analysis) {
  Figure figure{.name = "literature", .title = "Against published results", .columns = 1};
  const std::vector<Change> measured = MeasuredChanges(analysis),
                            published = PublishedChanges(analysis);
  if (measured.empty()) return figure;
  size_t row = 0;
  Extent x;
  for (const auto* changes : {&measured, &published}) {
    absl::StrAppend(&figure.data, changes == &measured ? "$ours" : "$published", " << EOD\n");
    for (const Change& change : *changes) {
      x.Add(change.percent);
      absl::StrAppend(&figure.data, DataNumber(change.percent), " ", ++row, " ",
                      DataText(change.label), "\n");
    }
    absl::StrAppend(&figure.data, "EOD\n");
  }
  AddForest("relative change of the score (%)", row, x,
            {"$ours using 1:2:ytic(3) with points pt 7 ps 0.7 lc rgb '#D55E00'",
             "$published using 1:2:ytic(3) with points pt 6 ps 0.7 lc rgb '#0072B2'"},
            &figure);
  figure.caption =
      "Relative change of the score when LoRA's base is quantized, here (filled) and in QLoRA "
      "(arXiv 2305.14314, tables 3 and 4). "
      "The protocols differ: QLoRA's are language models of 80 million to 65 billion parameters.";
  return figure;
}

}  // namespace qsweep
