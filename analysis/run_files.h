// A run's own files: RUN/config.json, results.json, quantization_analysis.json, error.json.
#ifndef QSWEEP_ANALYSIS_RUN_FILES_H_
#define QSWEEP_ANALYSIS_RUN_FILES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "analysis/run_facts.h"
#include "qsweep/v1/report.pb.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep {

// Everything that is stored about a run.
struct RunRecord {
  v1::RunDetail detail;
  std::vector<v1::Curve> curves;    // by name
  std::vector<v1::LogRecord> logs;  // in order
};

// Reads it, of a run that the sweep's list names.
using RunReader = std::function<absl::StatusOr<RunRecord>(const v1::Run& run)>;

// What the analysis keeps of a run.
RunFacts MakeRunFacts(const RunRecord& record);

// Of a run that has a result.
v1::ResultsFile MakeResultsFile(const RunRecord& record);
// `twin` is the run that differs in nothing but having no quantization; nullptr for none.
v1::QuantizationFile MakeQuantizationFile(const RunFacts& run, const RunFacts* twin);
// Of a run that failed or was cancelled.
v1::ErrorFile MakeErrorFile(const v1::RunDetail& detail);
// A line for each record: time (UTC), attempt, level, text.
std::string LogText(const std::vector<v1::LogRecord>& logs);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_RUN_FILES_H_
