// Results of a sweep, summed up over seeds: one line for each configuration that was run.
#ifndef QSWEEP_ANALYSIS_SUMMARY_H_
#define QSWEEP_ANALYSIS_SUMMARY_H_

#include <string>
#include <vector>

#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "qsweep/v1/summary.pb.h"

namespace qsweep {

// A run that succeeded. Every default of the spec is filled in.
struct FinishedRun {
  v1::ExperimentSpec spec;
  v1::RunResult result;
};

// none, int8, nf4, nf4+dq, fp4, fp4+dq.
std::string QuantizationLabel(const v1::Quantization& quantization);

// Mean and, from two values on, the standard deviation of the sample. No value: n = 0.
v1::Statistic Describe(const std::vector<double>& values);

// One group for all runs whose specs differ in the seed only, in the order of their first runs.
std::vector<v1::GroupSummary> SummarizeBySeed(const std::vector<FinishedRun>& runs);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_SUMMARY_H_
