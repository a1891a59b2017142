#include "analysis/report.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "analysis/comparison.h"
#include "analysis/details.h"
#include "analysis/expectations.h"
#include "analysis/figures/figures.h"
#include "analysis/findings.h"
#include "analysis/html.h"
#include "analysis/json.h"
#include "analysis/latex.h"
#include "analysis/literature.h"
#include "analysis/pareto.h"
#include "common/file.h"
#include "common/state_names.h"
#include "common/status.h"
#include "common/version.h"

namespace qsweep {
namespace {

constexpr int64_t kLargestFigure = 64 << 20;

// A run may not take the place of the report's own directories.
std::string RunDirectory(const std::string& run) {
  const std::string name = PathName(run);
  for (const char* own : {"logs", "figures", "tables", "MANIFEST"}) {
    if (name == own) return absl::StrCat("%", name);
  }
  return name;
}

absl::Status WriteRun(const RunRecord& record, OutputDirectory& out) {
  const v1::Run& run = record.detail.run();
  const std::string directory = RunDirectory(run.name());
  RETURN_IF_ERROR(
      out.Write(absl::StrCat(directory, "/config.json"), PlainJson(record.detail.spec())));
  if (!record.logs.empty()) {
    RETURN_IF_ERROR(out.Write(absl::StrCat("logs/", directory, ".log"), LogText(record.logs)));
  }
  if (record.detail.has_result()) {
    return out.Write(absl::StrCat(directory, "/results.json"), PlainJson(MakeResultsFile(record)));
  }
  if (run.state() == v1::RUN_STATE_FAILED || run.state() == v1::RUN_STATE_CANCELLED) {
    return out.Write(absl::StrCat(directory, "/error.json"),
                     PlainJson(MakeErrorFile(record.detail)));
  }
  return absl::OkStatus();
}

void CountRun(const v1::Run& run, v1::RunCounts* counts) {
  switch (run.state()) {
    case v1::RUN_STATE_RUNNING:
      return counts->set_running(counts->running() + 1);
    case v1::RUN_STATE_SUCCEEDED:
      if (run.reused_run_id() != 0) counts->set_reused(counts->reused() + 1);
      return counts->set_succeeded(counts->succeeded() + 1);
    case v1::RUN_STATE_FAILED:
      return counts->set_failed(counts->failed() + 1);
    case v1::RUN_STATE_CANCELLED:
      return counts->set_cancelled(counts->cancelled() + 1);
    default:
      return counts->set_pending(counts->pending() + 1);
  }
}

template <typename From, typename To>
void CopyAll(const From& from, To* to) {
  for (const auto& message : from) *to->Add() = message;
}

void FillSummary(Analysis* analysis) {
  v1::ExperimentsSummary& summary = analysis->summary;
  summary.set_sweep(analysis->sweep.name());
  summary.set_sweep_id(analysis->sweep.id());
  summary.set_qsweep_version(kVersion);
  summary.mutable_runs();
  for (const RunFacts& run : analysis->runs) {
    CountRun(run.run, summary.mutable_runs());
    if (run.result.has_value()) continue;
    v1::RunFailure& missing = *summary.add_missing();
    missing.set_run(run.run.name());
    missing.set_error(run.run.error().empty()
                          ? StateName(run.run.state())
                          : absl::StrCat(StateName(run.run.state()), ": ", run.run.error()));
  }
  for (const Group& group : analysis->groups) *summary.add_groups() = group.summary;
  CopyAll(CompareWithUnquantized(analysis->runs, analysis->twins, Pooling::kOverAdapters),
          summary.mutable_comparisons());
  CopyAll(JudgeExpectations(analysis->runs, analysis->twins, analysis->groups),
          summary.mutable_expectations());
  for (std::string& finding : Findings(summary)) summary.add_findings(std::move(finding));
}

void FillDetails(Analysis* analysis) {
  v1::DetailedAnalysis& details = analysis->details;
  details.set_sweep(analysis->sweep.name());
  details.set_sweep_id(analysis->sweep.id());
  CopyAll(CompareWithUnquantized(analysis->runs, analysis->twins, Pooling::kByAdapter),
          details.mutable_comparisons_by_adapter());
  CopyAll(ParetoFronts(analysis->runs, analysis->groups, MemoryKind::kWeights),
          details.mutable_pareto());
  CopyAll(ParetoFronts(analysis->runs, analysis->groups, MemoryKind::kPeak),
          details.mutable_pareto());
  CopyAll(QuantizationEffects(analysis->runs, analysis->twins), details.mutable_effects());
  CopyAll(LayerSensitivities(analysis->runs), details.mutable_layers());
  CopyAll(BlockGradients(analysis->runs), details.mutable_gradients());
  CopyAll(PublishedFigures().figures(), details.mutable_literature());
}

Analysis Analyze(const v1::Sweep& sweep, std::vector<RunFacts> runs) {
  Analysis analysis{.sweep = sweep, .runs = std::move(runs)};
  analysis.twins = UnquantizedTwins(analysis.runs);
  analysis.groups = GroupBySeed(analysis.runs);
  FillSummary(&analysis);
  FillDetails(&analysis);
  return analysis;
}

absl::Status WriteQuantizationFiles(const Analysis& analysis, OutputDirectory& out) {
  for (size_t i = 0; i < analysis.runs.size(); ++i) {
    const RunFacts& run = analysis.runs[i];
    if (!run.result.has_value()) continue;
    const RunFacts* twin =
        analysis.twins[i].has_value() ? &analysis.runs[*analysis.twins[i]] : nullptr;
    RETURN_IF_ERROR(
        out.Write(absl::StrCat(RunDirectory(run.run.name()), "/quantization_analysis.json"),
                  PlainJson(MakeQuantizationFile(run, twin))));
  }
  return absl::OkStatus();
}

absl::Status WritePage(const Analysis& analysis, const std::vector<Figure>& figures,
                       OutputDirectory& out) {
  std::vector<DrawnFigure> drawn;
  for (const Figure& figure : figures) {
    ASSIGN_OR_RETURN(const std::string path,
                     out.Place(absl::StrCat("figures/", figure.name, ".svg")));
    ASSIGN_OR_RETURN(std::string svg, ReadFile(path, kLargestFigure));
    drawn.push_back({figure.title, figure.caption, std::move(svg)});
  }
  return out.Write("report.html", HtmlReport(analysis, drawn));
}

}  // namespace

bool IsReported(const std::string& metric) {
  return metric == "loss" || metric == "learning_rate" || metric == "gradient_norm" ||
         metric == "images_per_s" || metric == "memory/peak_bytes" ||
         absl::StartsWith(metric, "eval/") ||
         (absl::StartsWith(metric, "gradient_norm/") && absl::EndsWith(metric, "/mean"));
}

absl::Status WriteReport(const v1::Sweep& sweep, const std::vector<v1::Run>& runs,
                         const RunReader& read, const ReportOptions& options) {
  std::string gnuplot;
  if (options.figures) {
    ASSIGN_OR_RETURN(gnuplot, FindGnuplot());
  }
  ASSIGN_OR_RETURN(OutputDirectory out, OutputDirectory::Create(options.directory, kReport));
  std::vector<RunFacts> facts;
  facts.reserve(runs.size());
  for (const v1::Run& run : runs) {
    if (options.stop()) return absl::CancelledError("interrupted");
    ASSIGN_OR_RETURN(const RunRecord record, read(run));
    RETURN_IF_ERROR(WriteRun(record, out));
    facts.push_back(MakeRunFacts(record));
  }
  const Analysis analysis = Analyze(sweep, std::move(facts));
  RETURN_IF_ERROR(WriteQuantizationFiles(analysis, out));
  RETURN_IF_ERROR(out.Write("quantization_experiments_summary.json", PlainJson(analysis.summary)));
  RETURN_IF_ERROR(out.Write("quantization_detailed_analysis.json", PlainJson(analysis.details)));
  std::vector<Figure> figures;
  if (options.figures) figures = MakeFigures(analysis);
  for (const Figure& figure : figures) {
    if (options.stop()) return absl::CancelledError("interrupted");
    RETURN_IF_ERROR(RenderFigure(gnuplot, figure, out));
  }
  for (const LatexFile& file : LatexFiles(analysis, figures)) {
    RETURN_IF_ERROR(out.Write(file.name, file.text));
  }
  RETURN_IF_ERROR(WritePage(analysis, figures, out));
  return out.Commit();
}

}  // namespace qsweep
