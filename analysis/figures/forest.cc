// Figures with a row for each comparison.
#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "analysis/claims.h"
#include "analysis/figures/figures.h"

namespace qsweep {
namespace {

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

// What stands beside the rows. The margin that it needs is set, as gnuplot would let a long name
// push the plot out of the picture.
class RowNames {
 public:
  // For a line of data: as it is on a page, and in the lines it has in a column.
  std::string Add(const std::string& name) {
    const std::string page = Wrapped(name, kPageRoom), column = Wrapped(name, kColumnRoom);
    (void)Measure(page, &page_width_);
    lines_ = std::max(lines_, Measure(column, &column_width_));
    return absl::StrCat(DataText(page), " ", DataText(column));
  }
  size_t lines() const { return lines_; }
  std::string Margin() const {
    const auto inches = [](size_t characters) {
      return 0.15 + 0.047 * static_cast<double>(characters);  // at 6 points
    };
    return absl::StrFormat("set lmargin at screen (width < 5 ? %.2f : %.2f)/width\n",
                           inches(column_width_), inches(page_width_));
  }

 private:
  // How many lines; `width` grows to the longest.
  static size_t Measure(const std::string& text, size_t* width) {
    const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
    for (const absl::string_view line : lines) *width = std::max(*width, line.size());
    return lines.size();
  }

  static constexpr size_t kPageRoom = 64, kColumnRoom = 30;  // characters, 45 % of the width
  size_t page_width_ = 0, column_width_ = 0, lines_ = 1;
};

// The names that RowNames::Add wrote into the data's columns `first` and after it.
std::string NameTics(int first) {
  return absl::StrCat("ytic(strcol(width < 5 ? ", first + 1, " : ", first, "))");
}

// Rows at y = 1, 2, ... from above, around the line of no difference. No key, as a row says what it
// is; half the tics in a column.
void AddForest(const char* xlabel, size_t rows, const Extent& x, const RowNames& names,
               const std::vector<std::string>& plots, Figure* figure) {
  const std::string tics = x.Step() > 0
                               ? absl::StrFormat("set xtics %.9g*(width < 5 ? 2 : 1)\n", x.Step())
                               : x.Tics("x");
  figure->panels.push_back(absl::StrCat(
      "unset title\nunset key\nunset ylabel\nset xlabel '", xlabel, "' font ',7'\n", names.Margin(),
      "set yrange [", rows, ".7:0.3]\nset autoscale x\nset offsets graph 0.03, graph 0.03, 0, 0\n",
      tics,
      "set ytics font ',6'\nset grid xtics noytics lw 0.4 lc rgb '#dddddd'\n"
      "set arrow 1 from 0, graph 0 to 0, graph 1 nohead lw 0.8 lc rgb '#404040'\nplot ",
      absl::StrJoin(plots, ", "), "\n"));
  const double row = std::max(0.17, 0.105 * static_cast<double>(names.lines()));
  figure->panel_height_in = 0.6 + row * static_cast<double>(rows);
}

// ---- published results

// Of the score, relative to the unquantized base's.
struct Change {
  std::string label;
  double percent;
};

// Of LoRA alone, as what was published.
std::vector<Change> MeasuredChanges(const Analysis& analysis) {
  const auto& effects = analysis.details.effects();
  const bool one_setting = std::all_of(effects.begin(), effects.end(), [&](const auto& e) {
    return e.model() == effects[0].model() && e.dataset() == effects[0].dataset();
  });
  std::vector<Change> changes;
  for (const v1::QuantizationEffect& effect : effects) {
    if (effect.method() != "lora" || effect.twin_top1() == 0) continue;
    if (changes.size() >= kMaxRows / 2) break;
    changes.push_back(
        {absl::StrCat("ours, ", effect.quantization(),
                      one_setting ? "" : absl::StrCat(": ", effect.model(), ", ", effect.dataset()),
                      effect.differs().empty()
                          ? ""
                          : absl::StrCat(" (", WithoutSections(effect.differs()), ")")),
         100 * effect.top1_difference() / effect.twin_top1()});
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

Figure DifferenceFigure(const Analysis& analysis) {
  Figure figure{
      .name = "difference", .title = "Accuracy against the unquantized base", .columns = 1};
  const std::vector<ForestRow> rows = ForestRows(analysis);
  const size_t shown = std::min(rows.size(), kMaxRows);
  if (shown == 0) return figure;
  Palette palette = PaletteOf(analysis);
  std::map<std::string, std::string> data;  // by quantization
  std::string margins;
  RowNames names;
  Extent x;
  for (size_t i = 0; i < shown; ++i) {
    const ForestRow& row = rows[rows.size() - shown + i];  // the pooled ones are last
    const size_t y = i + 1;
    const v1::Statistic& d = row.comparison->result().difference();
    for (const double value : {d.mean(), d.ci_low(), d.ci_high(), -row.comparison->margin(), 0.0}) {
      x.Add(100 * std::clamp(value, -1.0, 1.0));  // an absent interval is 0: on the axis anyway
    }
    absl::StrAppend(&data[row.quantization], WithInterval(d, /*least=*/-1), " ", y, " ",
                    names.Add(row.label), "\n");
    absl::StrAppend(&margins, DataNumber(-100 * row.comparison->margin()), " ", y - 0.4, "\n",
                    DataNumber(-100 * row.comparison->margin()), " ", y + 0.4, "\n\n");
  }
  absl::StrAppend(&figure.data, "$margins << EOD\n", margins, "EOD\n");
  std::vector<std::string> plots = {"$margins using 1:2 with lines dt 3 lw 1 lc rgb '#777777'"};
  for (const auto& [quantization, points] : data) {
    const std::string block = absl::StrCat("$difference", plots.size() - 1);
    absl::StrAppend(&figure.data, block, " << EOD\n", points, "EOD\n");
    plots.push_back(absl::StrCat(block, " using 1:4:2:3:", NameTics(5),
                                 " with xerrorbars lw 1 ps 0.6 ", palette.StyleOf(quantization)));
  }
  AddForest("difference in best top-1 (points)", shown, x, names, plots, &figure);
  figure.caption = absl::StrCat(
      "Best top-1 of quantized minus unquantized runs, paired by everything else. Bars: 95 % "
      "t-intervals over seeds, none where there is one. Dotted: the loss that the study allows, ",
      100 * kEightBitLoss, " points at 8 bits, ", 100 * kFourBitLoss, " at 4.",
      shown < rows.size()
          ? absl::StrCat(" The last ", shown, " of ", rows.size(), " rows are shown.")
          : "");
  return figure;
}

Figure LiteratureComparison(const Analysis& analysis) {
  Figure figure{.name = "literature", .title = "Against published results", .columns = 1};
  const std::vector<Change> measured = MeasuredChanges(analysis),
                            published = PublishedChanges(analysis);
  if (measured.empty()) return figure;
  size_t row = 0;
  RowNames names;
  Extent x;
  x.Add(0);  // the line of no difference
  for (const auto* changes : {&measured, &published}) {
    absl::StrAppend(&figure.data, changes == &measured ? "$ours" : "$published", " << EOD\n");
    for (const Change& change : *changes) {
      x.Add(change.percent);
      absl::StrAppend(&figure.data, DataNumber(change.percent), " ", ++row, " ",
                      names.Add(change.label), "\n");
    }
    absl::StrAppend(&figure.data, "EOD\n");
  }
  const std::string with = absl::StrCat(" using 1:2:", NameTics(3), " with points ps 0.7 ");
  AddForest("relative change of the score (%)", row, x, names,
            {absl::StrCat("$ours", with, "pt 7 lc rgb '#D55E00'"),
             absl::StrCat("$published", with, "pt 6 lc rgb '#0072B2'")},
            &figure);
  figure.caption =
      "Relative change of the score when LoRA's base is quantized, here (filled) and in QLoRA "
      "(arXiv 2305.14314, tables 3 and 4). The protocols differ: QLoRA's are language models of 80 "
      "million to 65 billion parameters.";
  return figure;
}

}  // namespace qsweep
