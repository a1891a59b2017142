// The claims that quantization studies make in advance, each held against what was measured.
#ifndef QSWEEP_ANALYSIS_EXPECTATIONS_H_
#define QSWEEP_ANALYSIS_EXPECTATIONS_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "analysis/run_facts.h"
#include "analysis/summary.h"
#include "qsweep/v1/report.pb.h"

namespace qsweep {

// A verdict on an interval (of measured values) and a range (of expected ones): met if it lies
// inside, not met if it lies outside, undecided otherwise and where there is no interval; no data
// without a value. Intervals are of 95 %, but for memory, which is the same for every seed: from
// the least to the greatest group.
//
// Memory (weights and peak), best top-1 and the gradients' variation are expected as claims.h says.
// Of two models the larger is to lose less: Welch's interval of the difference lies above 0.
std::vector<v1::Expectation> JudgeExpectations(const std::vector<RunFacts>& runs,
                                               const std::vector<std::optional<size_t>>& twins,
                                               const std::vector<Group>& groups);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_EXPECTATIONS_H_
