// A run's own files: RUN/config.json, results.json, quantization_analysis.json, error.json.
#ifndef QSWEEP_ANALYSIS_RUN_FILES_H_
#define QSWEEP_ANALYSIS_RUN_FILES_H_

#include <optional>
#include <string>
#include <vector>

#include "analysis/run_facts.h"
#include "analysis/statistics.h"
#include "qsweep/v1/report.pb.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep {

// Everything that is stored about a run.
struct RunRecord {
  v1::RunDetail detail;
  std::vector<v1::Curve> curves;    // by name
  std::vector<v1::LogRecord> logs;  // in order
};

// What the analysis keeps of it.
RunFacts MakeRunFacts(const RunRecord& record);

// Of a run that has a result.
v1::ResultsFile MakeResultsFile(const RunRecord& record);
// `twin` is the run that differs in nothing but having no quantization; nullptr for none.
v1::QuantizationFile MakeQuantizationFile(const RunFacts& run, const RunFacts* twin);
// Of a run that failed or was cancelled.
v1::ErrorFile MakeErrorFile(const v1::RunDetail& detail);
// A line for each record: time (UTC), attempt, level, text.
std::string LogText(const std::vector<v1::LogRecord>& logs);

// Of a quantized base without overrides, bits a weight with scales (arXiv 2305.14314, section 3;
// the one fp32 scale of an int8 row is too small to count here).
double ExpectedBitsPerWeight(const v1::Quantization& quantization);

// Of the weights' reduction, by the study's claim: int8 0.40..0.60, 4 bits 0.60..0.80, with double
// quantization up to 0.85. None for an unquantized base or a mixture.
std::optional<Interval> ExpectedReduction(const v1::Quantization& quantization);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_RUN_FILES_H_
