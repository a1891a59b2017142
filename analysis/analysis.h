// What a report is about: a sweep's runs and everything computed from them.
#ifndef QSWEEP_ANALYSIS_ANALYSIS_H_
#define QSWEEP_ANALYSIS_ANALYSIS_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "analysis/run_facts.h"
#include "analysis/summary.h"
#include "qsweep/v1/report.pb.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep {

// What the tables, figures and pages of a report are made of.
struct Analysis {
  v1::Sweep sweep;
  std::vector<RunFacts> runs;
  std::vector<std::optional<size_t>> twins;
  std::vector<Group> groups;
  v1::ExperimentsSummary summary;
  v1::DetailedAnalysis details;
};

Analysis Analyze(const v1::Sweep& sweep, std::vector<RunFacts> runs);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_ANALYSIS_H_
