#include "analysis/latex.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "analysis/escape.h"
#include "analysis/literature.h"
#include "analysis/numbers.h"
#include "analysis/shown.h"
#include "analysis/statistics.h"

namespace qsweep {
namespace {

// A page holds no more; the rest is in the JSON files, and the table says so.
constexpr int kRows = 45;
constexpr int kExpectations = 15;  // of several lines each

std::string Math(const std::string& number) { return absl::StrCat("$", number, "$"); }

// \newcommand lines; the same text never names two numbers.
class Macros {
 public:
  // The command, which the caller may put into a table.
  std::string Add(absl::string_view configuration, absl::string_view what,
                  const std::string& value) {
    std::string name = absl::StrCat("qs", LatexName(configuration), what);
    while (!names_.insert(name).second) name.push_back('X');
    absl::StrAppend(&text_, "\\newcommand{\\", name, "}{", value, "}\n");
    return absl::StrCat("\\", name, "{}");
  }
  const std::string& text() const { return text_; }

 private:
  std::set<std::string> names_;
  std::string text_;
};

std::string Marks(const v1::Comparison& comparison) {
  if (!comparison.has_p_holm()) return "";
  const double p = comparison.p_holm();
  const char* stars = p < 0.001 ? "***" : p < 0.01 ? "**" : p < 0.05 ? "*" : "";
  return *stars == '\0' ? "" : absl::StrCat("$^{", stars, "}$");
}

std::string Table(const std::string& columns, const std::vector<std::string>& head,
                  const std::vector<std::string>& rows, int left_out) {
  std::string out = absl::StrCat("\\begin{tabular}{@{}", columns, "@{}}\n\\toprule\n",
                                 absl::StrJoin(head, " & "), " \\\\\n\\midrule\n");
  for (const std::string& row : rows) absl::StrAppend(&out, row, " \\\\\n");
  if (left_out > 0) {
    absl::StrAppend(&out, "\\multicolumn{", head.size(), "}{@{}l@{}}{\\emph{and ", left_out,
                    " more, in the JSON files}} \\\\\n");
  }
  return out + "\\bottomrule\n\\end{tabular}\n";
}

// mean ± half interval, each number a macro.
std::string MeanCell(const std::string& label, const char* what, const v1::Statistic& s,
                     Macros* macros) {
  if (s.n() == 0) return "--";
  const std::string mean = macros->Add(label, what, FixedNumber(100 * s.mean(), 2));
  if (!s.has_ci_low()) return mean;
  return absl::StrCat(
      mean, " $\\pm$ ",
      macros->Add(label, absl::StrCat(what, "Half"), FixedNumber(100 * HalfWidth(s), 2)));
}

std::string SettingTable(const Analysis& analysis) {
  std::vector<std::string> rows;
  for (const Setting& setting : SharedSettings(analysis)) {
    rows.push_back(absl::StrCat(setting.name, " & ", LatexText(setting.value)));
  }
  return Table("lp{0.6\\linewidth}", {"All runs", ""}, rows, 0);
}

std::string ResultsTable(const Analysis& analysis, Macros* macros) {
  std::vector<std::string> rows;
  const int all = static_cast<int>(analysis.groups.size());
  for (int i = 0; i < all; ++i) {
    const v1::GroupSummary& g = analysis.groups[static_cast<size_t>(i)].summary;
    const std::string& label = g.label();
    std::vector<std::string> cells = {LatexText(label),
                                      absl::StrCat(g.top1().n(), "/", g.planned()),
                                      MeanCell(label, "TopOne", g.top1(), macros),
                                      MeanCell(label, "MacroF", g.macro_f1(), macros)};
    if (g.top1().n() == 0) {
      cells.insert(cells.end(), {"--", "--", "--", "--"});
    } else {
      cells.push_back(macros->Add(label, "Weights", FixedNumber(g.weights_bytes() / 1e6, 2)));
      cells.push_back(macros->Add(label, "Reduction", FixedNumber(100 * g.weights_reduction(), 1)));
      cells.push_back(macros->Add(label, "Peak", FixedNumber(g.peak_bytes() / 1e6, 1)));
      cells.push_back(macros->Add(label, "Speed", FixedNumber(g.images_per_s(), 1)));
    }
    if (i < kRows) rows.push_back(absl::StrJoin(cells, " & "));
  }
  return Table("lrrrrrrr",
               {"Configuration", "Runs", "Top-1 (\\%) $\\pm$ CI", "Macro F1 (\\%) $\\pm$ CI",
                "Base (MB)", "Saved (\\%)", "Peak (MB)", "Images/s"},
               rows, all - kRows);
}

std::string ComparisonLabel(const v1::Comparison& c) {
  std::vector<std::string> parts = {c.model(), c.dataset()};
  if (!c.adapter().empty()) parts.push_back(c.adapter());
  if (!c.differs().empty()) parts.push_back(c.differs());
  parts.push_back(c.quantization());
  return absl::StrJoin(parts, " ");
}

using Comparisons = google::protobuf::RepeatedPtrField<v1::Comparison>;

// Of one family: Holm's correction is over its rows.
std::string ComparisonsTable(const Comparisons& comparisons, Macros* macros) {
  std::vector<std::string> rows;
  for (const v1::Comparison& c : comparisons) {
    const v1::PairedResult& r = c.result();
    const std::string label = ComparisonLabel(c);
    std::vector<std::string> cells = {LatexText(label), absl::StrCat(r.difference().n()),
                                      absl::StrCat(r.pairs())};
    if (r.difference().n() == 0) {
      cells.insert(cells.end(), {"--", "--", "--", "--", "--"});
    } else {
      const auto p = [&](bool has, const char* what, double value) -> std::string {
        if (!has) return "--";
        return macros->Add(label, what, absl::StrReplaceAll(PNumber(value), {{"< ", "$<$"}}));
      };
      std::string difference =
          Math(macros->Add(label, "Diff", SignedNumber(100 * r.difference().mean(), 2)));
      if (r.difference().has_ci_low()) {
        absl::StrAppend(
            &difference, " [",
            Math(macros->Add(label, "DiffLow", SignedNumber(100 * r.difference().ci_low(), 2))),
            ", ",
            Math(macros->Add(label, "DiffHigh", SignedNumber(100 * r.difference().ci_high(), 2))),
            "]", Marks(c));
      }
      cells.push_back(difference);
      cells.push_back(p(c.has_p_holm(), "PHolm", c.p_holm()));
      cells.push_back(p(r.has_p_wilcoxon(), "PWilcoxon", r.p_wilcoxon()));
      cells.push_back(r.has_cohens_dz()
                          ? Math(macros->Add(label, "Effect", FixedNumber(r.cohens_dz(), 2)))
                          : "--");
      cells.push_back(
          absl::StrCat(c.non_inferiority(), " (", FixedNumber(100 * c.margin(), 0), ")"));
    }
    rows.push_back(absl::StrJoin(cells, " & "));
  }
  const int left_out = static_cast<int>(rows.size()) - kRows;
  if (left_out > 0) rows.resize(kRows);
  return Table("lrrlrrrl",
               {"Quantized base", "Seeds", "Pairs", "$\\Delta$ top-1 [95\\,\\% CI]",
                "$p$ ($t$, Holm)", "$p$ (Wilcoxon)", "$d_z$", "Margin (points)"},
               rows, left_out);
}

std::string ExpectationsTable(const Analysis& analysis) {
  std::vector<std::string> rows;
  for (const v1::Expectation& e : analysis.summary.expectations()) {
    if (static_cast<int>(rows.size()) == kExpectations) break;
    const double scale = e.unit() == "share" ? 100 : 1;
    const char* unit = e.unit() == "share" ? "\\,\\%" : "";
    const bool telling = e.has_measured() && IsTelling(e, e.measured());
    std::string measured = telling ? Math(FixedNumber(scale * e.measured(), 2)) + unit : "--";
    if (HasTellingInterval(e)) {
      absl::StrAppend(&measured, " [", Math(FixedNumber(scale * e.ci_low(), 2)), ", ",
                      Math(FixedNumber(scale * e.ci_high(), 2)), "]");
    }
    rows.push_back(absl::StrCat(LatexText(e.claim()), " & ", LatexText(e.scope()), " & ", e.n(),
                                " & ", measured, " & ", e.verdict()));
  }
  const int left_out = analysis.summary.expectations_size() - kExpectations;
  return Table("p{0.34\\linewidth}p{0.22\\linewidth}rll",
               {"Expectation", "Of", "$n$", "Measured", "Verdict"}, rows, left_out);
}

std::string LiteratureTable(const Analysis& analysis) {
  std::vector<std::string> rows;
  for (const v1::LiteratureFigure& figure : analysis.details.literature()) {
    std::vector<std::string> values;
    for (const v1::LiteratureValue& value : figure.values()) {
      values.push_back(
          absl::StrCat(LatexText(value.method()), " ", FixedNumber(value.value(), value.digits())));
    }
    rows.push_back(absl::StrCat(LatexText(figure.what()), " \\cite{", figure.cite(), "} & ",
                                absl::StrJoin(values, ", "), " (", LatexText(figure.unit()), ") & ",
                                LatexText(figure.protocol())));
  }
  return Table("p{0.28\\linewidth}p{0.32\\linewidth}p{0.34\\linewidth}",
               {"Published", "Values", "Protocol"}, rows, 0);
}

std::string Float(const char* kind, const std::string& body, const std::string& caption,
                  const std::string& label) {
  return absl::StrCat("\\begin{", kind, "}[htbp]\n\\centering\\small\n", body, "\\caption{",
                      caption, "}\n\\label{", label, "}\n\\end{", kind, "}\n\n");
}

std::string Fitted(const std::string& file) {
  return absl::StrCat("\\resizebox{\\linewidth}{!}{\\input{", file, "}}\n");
}

std::string Document(const Analysis& analysis, const std::vector<Figure>& figures) {
  std::string out =
      "% Compile: pdflatex results && bibtex results && pdflatex results && pdflatex results\n"
      "\\documentclass[10pt]{article}\n"
      "\\usepackage[T1]{fontenc}\n\\usepackage[utf8]{inputenc}\n"
      "\\usepackage[margin=2.2cm]{geometry}\n"
      "\\usepackage{booktabs}\n\\usepackage{graphicx}\n\\usepackage{url}\n"
      "\\input{tables/macros}\n\\begin{document}\n";
  absl::StrAppend(&out, "\\section*{", LatexText(analysis.summary.sweep()),
                  "}\n\\begin{itemize}\n");
  for (const std::string& finding : analysis.summary.findings())
    absl::StrAppend(&out, "\\item ", LatexText(finding), "\n");
  absl::StrAppend(&out, "\\end{itemize}\n\n");
  const auto add = [&out](bool any, const std::string& body, const char* caption,
                          const char* label) {
    if (any) absl::StrAppend(&out, Float("table", body, caption, label));
  };
  add(true, "\\input{tables/setting}\n", "What all runs share.", "tab:setting");
  add(!analysis.groups.empty(), Fitted("tables/results"),
      "Means over seeds of the best epoch. CI: half of the 95\\,\\% "
      "$t$-interval (absent with one seed). Base: as held for training, adapters not counted; "
      "saved: against fp32. Peak: tensors alive while training.",
      "tab:results");
  add(analysis.summary.comparisons_size() > 0, Fitted("tables/comparisons"),
      "Best top-1 of quantized minus unquantized runs, in points, paired by everything else; "
      "pooled over adapters: differences are averaged within each seed, and tested over seeds. "
      "Stars: $p$ of the paired $t$-test after Holm's correction~\\cite{holm1979} over this table "
      "below 0.05, 0.01, 0.001; signed-rank test~\\cite{wilcoxon1945}. Margin: the loss that the "
      "study allows.",
      "tab:comparisons");
  add(analysis.details.comparisons_by_adapter_size() > 0, Fitted("tables/comparisons_by_adapter"),
      "As table~\\ref{tab:comparisons}, of each adapter by itself; Holm's correction is over this "
      "table, a family of its own.",
      "tab:comparisons-by-adapter");
  add(analysis.summary.expectations_size() > 0, "\\input{tables/expectations}\n",
      "Expectations held against what was measured, with 95\\,\\% intervals over $n$ "
      "seeds (of two models, of the one with fewer); of memory, from the least to the greatest of "
      "$n$ configurations' means.",
      "tab:expectations");
  for (const Figure& figure : figures) {
    absl::StrAppend(&out, Float("figure",
                                absl::StrCat("\\includegraphics[width=\\linewidth]{figures/",
                                             figure.name, ".pdf}\n"),
                                LatexText(figure.caption), absl::StrCat("fig:", figure.name)));
  }
  absl::StrAppend(
      &out,
      Float("table", "\\input{tables/literature}\n",
            "Published results and what makes their protocols differ from ours. Adapters are "
            "LoRA~\\cite{hu2022lora}; 4-bit formats as in QLoRA~\\cite{dettmers2023qlora}.",
            "tab:literature"),
      "\\clearpage\n\\bibliographystyle{plain}\n\\bibliography{references}\n\\end{document}\n");
  return out;
}

}  // namespace

std::vector<LatexFile> LatexFiles(const Analysis& analysis, const std::vector<Figure>& figures) {
  Macros macros;
  std::vector<LatexFile> files;
  files.push_back({"tables/setting.tex", SettingTable(analysis)});
  files.push_back({"tables/results.tex", ResultsTable(analysis, &macros)});
  files.push_back(
      {"tables/comparisons.tex", ComparisonsTable(analysis.summary.comparisons(), &macros)});
  files.push_back({"tables/comparisons_by_adapter.tex",
                   ComparisonsTable(analysis.details.comparisons_by_adapter(), &macros)});
  files.push_back({"tables/expectations.tex", ExpectationsTable(analysis)});
  files.push_back({"tables/literature.tex", LiteratureTable(analysis)});
  files.push_back({"tables/macros.tex", macros.text()});
  files.push_back({"references.bib", kReferencesBib});
  files.push_back({"results.tex", Document(analysis, figures)});
  return files;
}

}  // namespace qsweep
