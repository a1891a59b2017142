#include "analysis/html.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "analysis/escape.h"
#include "analysis/findings.h"
#include "analysis/numbers.h"
#include "analysis/shown.h"
#include "analysis/statistics.h"
#include "common/state_names.h"

namespace qsweep {
namespace {

constexpr char kHead[] = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
)";

constexpr char kStyle[] = R"(<style>
:root{--ink:#1b1f24;--soft:#57606a;--line:#d8dee4;--back:#fff;--mark:#0072b2;--band:#f6f8fa;--good:#00714f;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--line:#30363d;--back:#0d1117;--mark:#58a6ff;--band:#161b22;--good:#3fb98a;--bad:#ff7b72}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem 1rem 4rem;font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;color:var(--ink);background:var(--back)}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.5rem 0 .75rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
p.sub,figcaption,.note,footer{color:var(--soft);font-size:.875rem}
nav{font-size:.9rem;margin-top:.75rem}nav a{margin-right:1rem;white-space:nowrap}
a{color:var(--mark)}
ul.findings{padding-left:1.1rem}ul.findings li{margin:.4rem 0}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:.35rem .6rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--soft);vertical-align:bottom}
th:first-child,td:first-child,.t{text-align:left}
td.w{white-space:normal;overflow-wrap:anywhere;min-width:14rem;text-align:left}
tbody tr:nth-child(even){background:var(--band)}
.met,.succeeded{color:var(--good)}.not-met,.failed{color:var(--bad)}
figure{margin:0 0 2rem}figure img{display:block;width:100%;height:auto;background:#fff;border:1px solid var(--line);border-radius:6px}
details{border-bottom:1px solid var(--line);padding:.4rem 0}
summary{cursor:pointer;overflow-wrap:anywhere;font-size:.9rem}summary b{font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.5rem 0 .5rem 1rem;font-size:.875rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:40rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.3rem}h1{font-size:1.35rem}}
</style>
)";

// With a true minus sign.
std::string Fixed(double value, int digits) {
  return absl::StrReplaceAll(FixedNumber(value, digits), {{"-", "−"}});
}

std::string Percent(double share, int digits = 2) { return Fixed(100 * share, digits); }

std::string Megabytes(double bytes) {
  return absl::StrFormat("%.*f", bytes < 99.5e6 ? 2 : 0, bytes / 1e6);
}

std::string Cell(absl::string_view html, absl::string_view css = "") {
  return css.empty() ? absl::StrCat("<td>", html) : absl::StrCat("<td class=\"", css, "\">", html);
}

// Titles are our own; a title that ends in "|t" is of a column of text.
std::string TableHead(std::initializer_list<const char*> titles) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  for (const absl::string_view title : titles) {
    const bool text = absl::EndsWith(title, "|t");
    absl::StrAppend(&out, text ? "<th class=\"t\">" : "<th>",
                    text ? title.substr(0, title.size() - 2) : title);
  }
  return out + "</thead><tbody>\n";
}
constexpr char kTableEnd[] = "</tbody></table></div>\n";

std::string MeanText(const v1::Statistic& s) {
  if (s.n() == 0) return "–";
  if (!s.has_ci_low()) return Percent(s.mean());
  return absl::StrFormat("%s ± %.2f", Percent(s.mean()), 100 * HalfWidth(s));
}

std::string CountText(double count) {
  return count < 1000 ? absl::StrFormat("%.0f", count) : absl::StrFormat("%.0f k", count / 1e3);
}
std::string PValue(double p) { return HtmlText(PNumber(p)); }

std::string SettingTable(const Analysis& analysis) {
  std::string out = TableHead({"all runs|t", "|t"});
  for (const Setting& setting : SharedSettings(analysis)) {
    absl::StrAppend(&out, "<tr>", Cell(setting.name), Cell(HtmlText(setting.value), "w"), "\n");
  }
  return out + kTableEnd;
}

std::string GroupTable(const Analysis& analysis) {
  std::string out =
      TableHead({"configuration|t", "runs", "top-1 % ± CI95", "top-5 % ± CI95", "macro F1 % ± CI95",
                 "base MB", "vs fp32 %", "peak MB", "vs none %", "images/s", "trained"});
  for (const Group& group : analysis.groups) {
    const v1::GroupSummary& g = group.summary;
    const bool any = g.top1().n() > 0;
    const auto shown = [any](const std::string& text) { return Cell(any ? text : "–"); };
    absl::StrAppend(&out, "<tr>", Cell(HtmlText(g.label())),
                    Cell(absl::StrCat(g.top1().n(), " of ", g.planned())),
                    Cell(absl::StrCat("<b>", MeanText(g.top1()), "</b>")), Cell(MeanText(g.top5())),
                    Cell(MeanText(g.macro_f1())), shown(Megabytes(g.weights_bytes())),
                    shown(Percent(-g.weights_reduction(), 0)), shown(Megabytes(g.peak_bytes())),
                    Cell(g.has_peak_reduction() ? Percent(-g.peak_reduction(), 1) : ""),
                    shown(absl::StrFormat("%.1f", g.images_per_s())),
                    shown(CountText(g.trainable_parameters())), "\n");
  }
  return out + kTableEnd +
         "<p class=\"note\">Means over seeds of the best epoch; CI95 is half of the 95 % "
         "t-interval, absent with one seed. Base: as held for training, adapters not counted, and "
         "what that is less than in fp32. Peak is of tensors alive while training, vs none: "
         "against the unquantized configuration that differs in nothing else, absent where the two "
         "were computed in different ways (micro-batch, checkpointing, device, CPU, "
         "threads).</p>\n";
}

std::string ComparisonTable(const google::protobuf::RepeatedPtrField<v1::Comparison>& comparisons) {
  std::string out =
      TableHead({"comparison|t", "seeds", "pairs", "Δ top-1, points ± CI95", "p (t, Holm)",
                 "p (Wilcoxon)", "d<sub>z</sub>", "allowed loss|t", "remark|t"});
  for (const v1::Comparison& c : comparisons) {
    const v1::PairedResult& r = c.result();
    const auto number = [](bool has, const std::string& text) { return Cell(has ? text : "–"); };
    absl::StrAppend(
        &out, "<tr>",
        Cell(HtmlText(absl::StrCat(c.quantization(), " · ", c.model(), " · ", c.dataset(),
                                   c.adapter().empty() ? "" : absl::StrCat(" · ", c.adapter()),
                                   c.differs().empty() ? "" : absl::StrCat(" · ", c.differs())))),
        Cell(absl::StrCat(r.difference().n())), Cell(absl::StrCat(r.pairs())),
        Cell(r.difference().n() > 0 ? PointsText(r.difference()) : "–"),
        number(c.has_p_holm(), PValue(c.p_holm())),
        number(r.has_p_wilcoxon(), PValue(r.p_wilcoxon())),
        number(r.has_cohens_dz(), Fixed(r.cohens_dz(), 2)),
        Cell(absl::StrCat(absl::StrFormat("%g: ", 100 * c.margin()),
                          c.has_non_inferiority() ? c.non_inferiority() : "–"),
             "t"),
        Cell(HtmlText(r.note()), "w"), "\n");
  }
  return out + kTableEnd;
}

std::string ExpectationTable(const v1::ExperimentsSummary& summary) {
  std::string out =
      TableHead({"expectation|t", "of|t", "n", "measured", "interval", "verdict|t", "why|t"});
  for (const v1::Expectation& e : summary.expectations()) {
    const double scale = e.unit() == "share" ? 100 : 1;
    const char* unit = e.unit() == "share" ? " %" : "";
    const auto text = [scale](double v) { return Fixed(scale * v, 2); };
    absl::StrAppend(
        &out, "<tr>", Cell(HtmlText(e.claim()), "w"), Cell(HtmlText(e.scope()), "t"),
        Cell(absl::StrCat(e.n())),
        Cell(e.has_measured() && IsTelling(e, e.measured()) ? absl::StrCat(text(e.measured()), unit)
                                                            : "–"),
        Cell(HasTellingInterval(e) ? absl::StrCat(text(e.ci_low()), " … ", text(e.ci_high()))
                                   : "–"),
        Cell(e.verdict(), absl::StrCat("t ", absl::StrReplaceAll(e.verdict(), {{" ", "-"}}))),
        Cell(HtmlText(e.reason()), "w"), "\n");
  }
  return out + kTableEnd +
         "<p class=\"note\">Intervals are of 95 %, over n seeds (of two models, of the one with "
         "fewer); of memory, from the least to the greatest of n configurations' means.</p>\n";
}

std::string LiteratureTable(const v1::DetailedAnalysis& details) {
  std::string out = TableHead(
      {"published|t", "method|t", "value", "unit|t", "source|t", "what differs from ours|t"});
  for (const v1::LiteratureFigure& figure : details.literature()) {
    for (const v1::LiteratureValue& value : figure.values()) {
      absl::StrAppend(
          &out, "<tr>", Cell(HtmlText(figure.what())), Cell(HtmlText(value.method()), "t"),
          Cell(Fixed(value.value(), value.digits())), Cell(HtmlText(figure.unit()), "t"),
          Cell(HtmlText(figure.cite()), "t"), Cell(HtmlText(figure.protocol()), "w"), "\n");
    }
  }
  return out + kTableEnd;
}

std::string EffectTable(const v1::DetailedAnalysis& details) {
  std::string out =
      TableHead({"quantization|t", "runs", "pairs", "parameters", "bits a weight", "expected",
                 "saving reached %", "base vs fp32 %", "peak vs none %", "Δ top-1 vs none",
                 "merged", "requantized", "speed vs none", "stability vs none"});
  const auto optional = [](bool has, const std::string& text) { return Cell(has ? text : "–"); };
  for (const v1::QuantizationEffect& e : details.effects()) {
    absl::StrAppend(
        &out, "<tr>",
        Cell(HtmlText(absl::StrCat(e.quantization(), " · ", e.model(), " · ", e.dataset(),
                                   e.differs().empty() ? "" : absl::StrCat(" · ", e.differs())))),
        Cell(absl::StrCat(e.runs())), Cell(absl::StrCat(e.pairs())),
        Cell(absl::StrFormat("%.2f M", static_cast<double>(e.parameters()) / 1e6)),
        Cell(absl::StrFormat("%.3f", e.bits_per_weight())),
        optional(e.expected_bits_per_weight() > 0,
                 absl::StrFormat("%.3f", e.expected_bits_per_weight())),
        optional(e.has_memory_efficiency(), Percent(e.memory_efficiency(), 1)),
        Cell(Percent(-e.weights_reduction(), 1)),
        optional(e.has_peak_reduction(), Percent(-e.peak_reduction(), 1)),
        optional(e.has_top1_difference(), Percent(e.top1_difference())),
        optional(e.has_merged_difference(), Percent(e.merged_difference())),
        optional(e.has_requantized_difference(), Percent(e.requantized_difference())),
        optional(e.has_images_per_s_ratio(), absl::StrFormat("× %.2f", e.images_per_s_ratio())),
        optional(e.has_stability_ratio(), absl::StrFormat("× %.2f", e.stability_ratio())), "\n");
  }
  return out + kTableEnd +
         "<p class=\"note\">Means over runs or, against the unquantized run that differs in "
         "nothing else (vs none), over pairs; peak and speed of pairs that were computed alike "
         "(micro-batch, checkpointing, device, CPU, threads). The base's bytes are against fp32. "
         "Saving reached: of what the expected bits would save. Top-1 in points; merged: its "
         "change when the adapters are merged into the base as it was held for training; and when "
         "that is quantized again.</p>\n";
}

std::string Fact(const char* name, const std::string& html) {
  return html.empty() ? "" : absl::StrCat("<dt>", name, "</dt><dd>", html, "</dd>");
}

std::string MergedText(const v1::RunResult& result) {
  if (!result.has_merged()) return "";
  return absl::StrCat("top-1 ", Percent(result.merged().top1()), " %, quantized again ",
                      Percent(result.requantized().top1()), " %");
}

std::string SensitivityFacts(const v1::RunResult& result) {
  const auto& layers = result.sensitivity().layers();
  const auto worst = std::max_element(
      layers.begin(), layers.end(),
      [](const auto& a, const auto& b) { return a.loss_change() < b.loss_change(); });
  const v1::Evaluation& unquantized = result.sensitivity().unquantized();
  return absl::StrCat(
      "sensitivity</summary><dl>",
      Fact("unquantized", absl::StrFormat("top-1 %s %%, loss %.4f", Percent(unquantized.top1()),
                                          unquantized.loss())),
      Fact("labels", result.sensitivity().labels() == "model"
                         ? "those that the unquantized model gives"
                         : "the images' own"),
      Fact("measured", absl::StrCat(layers.size(), " layers and types, one at a time")),
      worst == layers.end()
          ? ""
          : Fact("costliest", HtmlText(absl::StrFormat("%s in %s: loss %+.4f", worst->layer(),
                                                       worst->quant_type(), worst->loss_change()))),
      "</dl></details>\n");
}

std::string RunBlock(const RunFacts& run) {
  const std::string state = StateName(run.run.state());
  std::string out = absl::StrCat("<details><summary>", HtmlText(run.run.name()), " — ");
  if (!run.result.has_value()) {
    return absl::StrCat(out, "<span class=\"", state, "\">", state, "</span></summary><dl>",
                        Fact("error", HtmlText(run.run.error())),
                        Fact("waits", HtmlText(run.run.waiting())), "</dl></details>\n");
  }
  const v1::RunResult& r = *run.result;
  if (!Trains(run.spec)) return out + SensitivityFacts(r);
  const int64_t all = AllParameters(run.spec, r);
  absl::StrAppend(
      &out, "<b>", Percent(r.best().top1()), " %</b></summary><dl>",
      Fact("best",
           absl::StrFormat("epoch %d: top-1 %s %%, top-5 %s %%, macro F1 %s %%, loss %.4f",
                           r.best().epoch(), Percent(r.best().top1()), Percent(r.best().top5()),
                           Percent(r.best().macro_f1()), r.best().loss())),
      Fact("final", absl::StrFormat("epoch %d: top-1 %s %%, loss %.4f%s", r.final().epoch(),
                                    Percent(r.final().top1()), r.final().loss(),
                                    r.stopped_early() ? " (stopped early)" : "")),
      Fact("merged", MergedText(r)),
      Fact("parameters",
           absl::StrFormat("%d trained of %d (%.2f %%)", r.trainable_parameters(), all,
                           100.0 * static_cast<double>(r.trainable_parameters()) /
                               std::max<double>(1, static_cast<double>(all)))),
      Fact("base", absl::StrFormat("%s MB of %s MB in fp32; %s",
                                   Megabytes(static_cast<double>(r.quantization().bytes_after())),
                                   Megabytes(static_cast<double>(r.quantization().bytes_before())),
                                   r.quantization().layers_quantized() == 0
                                       ? "not quantized"
                                       : absl::StrFormat("%d layers quantized, %.3f bits a weight",
                                                         r.quantization().layers_quantized(),
                                                         r.quantization().bits_per_weight()))),
      Fact("memory",
           absl::StrFormat("peak %s MB, process %s MB; micro-batch %d × %d, checkpointing %s",
                           Megabytes(static_cast<double>(r.memory().peak_bytes())),
                           Megabytes(static_cast<double>(r.memory().rss_peak_bytes())),
                           r.memory().micro_batch(), r.memory().accumulation_steps(),
                           HtmlText(r.memory().gradient_checkpointing()))),
      Fact("time", absl::StrFormat("%.0f s, %.1f images/s", r.train_seconds(), r.images_per_s())),
      Fact("gradients", HtmlText(GradientText(r.gradients()))),
      Fact("convergence", HtmlText(ConvergenceText(r))),
      Fact("machine", HtmlText(absl::StrCat(r.provenance().cpu(), ", ",
                                            Plural(r.provenance().threads(), "thread"), ", ",
                                            r.provenance().instruction_set()))),
      Fact("spec", absl::StrCat("SHA-256 ", HtmlText(r.provenance().spec_sha256()))),
      "</dl></details>\n");
  return out;
}

std::string MissingTable(const v1::ExperimentsSummary& summary) {
  std::string out = TableHead({"run|t", "why|t"});
  for (const v1::RunFailure& failure : summary.missing()) {
    absl::StrAppend(&out, "<tr>", Cell(HtmlText(failure.run())),
                    Cell(HtmlText(failure.error()), "w"), "\n");
  }
  return out + kTableEnd;
}

std::string FindingList(const v1::ExperimentsSummary& summary) {
  std::string out = "<ul class=\"findings\">\n";
  for (const std::string& finding : summary.findings())
    absl::StrAppend(&out, "<li>", HtmlText(finding), "\n");
  return out + "</ul>\n";
}

std::string ComparisonTables(const Analysis& analysis) {
  return absl::StrCat(
      ComparisonTable(analysis.summary.comparisons()),
      "<p class=\"note\">Pairs share everything but the quantization; differences are averaged "
      "over adapters within each seed, and tested over seeds. CI95 is half of the 95 % "
      "t-interval. Holm's correction is over this table; the next is a family of its own.</p>"
      "<details><summary>Each adapter by itself</summary>",
      ComparisonTable(analysis.details.comparisons_by_adapter()), "</details>");
}

std::string FigureList(const std::vector<DrawnFigure>& figures) {
  std::string out;
  for (const DrawnFigure& figure : figures) {
    absl::StrAppend(&out, "<figure><img alt=\"", HtmlText(figure.title),
                    "\" src=\"data:image/svg+xml;base64,", absl::Base64Escape(figure.svg),
                    "\"><figcaption><b>", HtmlText(figure.title), ".</b> ",
                    HtmlText(figure.caption), "</figcaption></figure>\n");
  }
  return out.empty() ? "<p class=\"note\">None were drawn.</p>\n" : out;
}

std::string RunList(const Analysis& analysis) {
  std::string out;
  for (const RunFacts& run : analysis.runs) absl::StrAppend(&out, RunBlock(run));
  return out;
}

// Sections in their order, and links to them.
class Page {
 public:
  // No section unless `there`; no link to it without a text for one.
  void Section(bool there, const char* id, absl::string_view link, const char* title,
               const std::string& html) {
    if (!there) return;
    if (!link.empty()) absl::StrAppend(&links_, "<a href=\"#", id, "\">", link, "</a>\n");
    absl::StrAppend(&body_, "<section id=\"", id, "\"><h2>", title, "</h2>\n", html,
                    "</section>\n");
  }
  const std::string& links() const { return links_; }
  const std::string& body() const { return body_; }

 private:
  std::string links_, body_;
};

}  // namespace

std::string HtmlReport(const Analysis& analysis, const std::vector<DrawnFigure>& figures) {
  const v1::ExperimentsSummary& summary = analysis.summary;
  const v1::DetailedAnalysis& details = analysis.details;
  Page page;
  page.Section(true, "summary", "", "Summary", FindingList(summary));
  page.Section(true, "setting", "Setting", "Setting", SettingTable(analysis));
  page.Section(!analysis.groups.empty(), "results", "Results", "Results", GroupTable(analysis));
  page.Section(summary.comparisons_size() > 0, "comparisons", "Comparisons",
               "Against the unquantized base", ComparisonTables(analysis));
  page.Section(details.effects_size() > 0, "effects", "Effects", "What quantizing did",
               EffectTable(details));
  page.Section(summary.expectations_size() > 0, "expectations", "Expectations", "Expectations",
               ExpectationTable(summary));
  page.Section(true, "figures", "Figures", "Figures", FigureList(figures));
  page.Section(true, "literature", "Literature", "Published results", LiteratureTable(details));
  page.Section(summary.missing_size() > 0, "missing", "Missing runs", "Runs without a result",
               MissingTable(summary));
  page.Section(true, "runs", "Runs", "Runs", RunList(analysis));
  return absl::StrCat(
      kHead, "<title>", HtmlText(summary.sweep()), " · qsweep report</title>\n", kStyle,
      "</head>\n<body>\n<header><h1>", HtmlText(summary.sweep()), "</h1>\n<p class=\"sub\">sweep ",
      summary.sweep_id(), " · qsweep ", HtmlText(summary.qsweep_version()), "</p>\n<nav>",
      page.links(), "</nav></header>\n<main>\n", page.body(),
      "</main>\n<footer>The numbers behind this page: quantization_experiments_summary.json, "
      "quantization_detailed_analysis.json and a directory for each run.</footer>\n"
      "</body>\n</html>\n");
}

}  // namespace qsweep
