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
// - Memory, of weights and peak: int8 40 to 60 % less, 4 bits 60 to 80 %, with double quantization
//   up to 85 %.
// - Best top-1: 8 bits lose less than 2 points, 4 bits 2 to 5.
// - Of two models the larger loses less: Welch's interval of the difference lies above 0.
// - Variation, sd / mean of the gradient norm, against the unquantized twin's: within 10 % at 8
//   bits ("minimal"), within 25 % at 4 ("moderate"). The two limits are ours.
std::vector<v1::Expectation> JudgeExpectations(const std::vector<RunFacts>& runs,
                                               const std::vector<std::optional<size_t>>& twins,
                                               const std::vector<Group>& groups);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_EXPECTATIONS_H_
