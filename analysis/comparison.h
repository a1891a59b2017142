// What quantizing the base costs in accuracy: pairs of runs that differ in nothing else.
#ifndef QSWEEP_ANALYSIS_COMPARISON_H_
#define QSWEEP_ANALYSIS_COMPARISON_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "analysis/run_facts.h"
#include "qsweep/v1/report.pb.h"

namespace qsweep {

// For each run the finished run that differs in nothing but having an unquantized base; nullopt for
// runs that have none, are not finished or are not quantized.
std::vector<std::optional<size_t>> UnquantizedTwins(const std::vector<RunFacts>& runs);

enum class Pooling {
  kOverAdapters,  // pairs of all lora.* settings and seeds together
  kByAdapter,     // pairs of all seeds together
};

// What may not be pooled: everything but the seed and, if so asked, the adapter.
v1::ExperimentSpec PairScope(const v1::ExperimentSpec& spec, Pooling pooling);

// Best top-1 of quantized minus unquantized runs. One comparison for each quantization and whatever
// else the pairs may not be pooled over, in the order of the runs; quantizations of which no pair
// is finished are there, without values. Tests are over seeds (TestSeeds); Holm's correction is
// over all comparisons returned.
std::vector<v1::Comparison> CompareWithUnquantized(const std::vector<RunFacts>& runs,
                                                   const std::vector<std::optional<size_t>>& twins,
                                                   Pooling pooling);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_COMPARISON_H_
