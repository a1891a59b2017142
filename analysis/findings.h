// What a report says first, in sentences that hold for the data at hand and no more.
#ifndef QSWEEP_ANALYSIS_FINDINGS_H_
#define QSWEEP_ANALYSIS_FINDINGS_H_

#include <string>
#include <vector>

#include "qsweep/v1/report.pb.h"

namespace qsweep {

// Of a summary whose other fields are filled in.
std::vector<std::string> Findings(const v1::ExperimentsSummary& summary);

// ± half of the interval where there is one, in points: "−0.42 ± 0.31"; with one value the value.
std::string PointsText(const v1::Statistic& difference);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_FINDINGS_H_
