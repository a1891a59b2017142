// qctl report: everything a paper needs about a sweep, finished or not, as a directory of files.
//   quantization_experiments_summary.json, quantization_detailed_analysis.json
//   report.html: a page that needs nothing else
//   results.tex with tables/*.tex and references.bib: for a paper
//   RUN/config.json and results.json, quantization_analysis.json (or error.json)
//   logs/RUN.log
//   figures/NAME.{pdf,svg,png}, NAME-single.* at column width, NAME.gp to draw them again
// A run that has no result yet has config.json alone.
#ifndef QSWEEP_ANALYSIS_REPORT_H_
#define QSWEEP_ANALYSIS_REPORT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "analysis/run_files.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep {

// The names of series that a report needs of a run.
bool IsReported(const std::string& metric);

struct ReportOptions {
  std::string directory;
  bool figures = true;                                // needs gnuplot
  std::function<bool()> stop = [] { return false; };  // asked now and then: then Cancelled
};

// Reads the runs one by one, keeps little of each, and writes the directory whole or not at all.
absl::Status WriteReport(const v1::Sweep& sweep, const std::vector<v1::Run>& runs,
                         const RunReader& read, const ReportOptions& options);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_REPORT_H_
