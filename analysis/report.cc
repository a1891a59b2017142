#include "analysis/report.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "analysis/analysis.h"
#include "analysis/figures/figures.h"
#include "analysis/html.h"
#include "analysis/json.h"
#include "analysis/latex.h"
#include "analysis/output_directory.h"
#include "common/file.h"
#include "common/status.h"

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
