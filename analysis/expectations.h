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
// without a value. Memory is the same for every seed, so its range of values takes the interval's
// place.
//
//   memory        weights and peak: int8 -40..60 %, 4 bits -60..80 %, double quantization up to -85
//   % accuracy      best top-1: 8 bits lose less than 2 points, 4 bits 2 to 5 model size    of two
//   models the larger loses less (Welch's interval of the difference > 0) stability     sd / mean
//   of the gradient norm against the unquantized twin's: within 10 % at 8 bits
//                 ("minimal"), within 25 % at 4 ("moderate"); the two limits are ours
std::vector<v1::Expectation> JudgeExpectations(const std::vector<RunFacts>& runs,
                                               const std::vector<std::optional<size_t>>& twins,
                                               const std::vector<Group>& groups);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_EXPECTATIONS_H_
