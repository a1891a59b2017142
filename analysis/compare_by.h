// What one field of the spec makes of the results, everything else being equal.
#ifndef QSWEEP_ANALYSIS_COMPARE_BY_H_
#define QSWEEP_ANALYSIS_COMPARE_BY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "analysis/run_facts.h"
#include "qsweep/v1/report.pb.h"

namespace qsweep {

// `path` is a field (lora.rank) or `quantization`, the label of the whole. Runs are paired with
// those of the first value that differ in nothing else, fields apart that follow from this one
// throughout the sweep (lora.alpha, where it is always twice the rank) and, for `quantization` and
// `quantization.bits`, the rest of that section but for compute_dtype; of several partners the mean
// counts. All means are of paired runs alone, and all intervals and tests over seeds.
// InvalidArgument for an unknown path, with a suggestion.
absl::StatusOr<v1::FieldComparison> CompareBy(const std::vector<RunFacts>& runs,
                                              const std::string& path);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_COMPARE_BY_H_
