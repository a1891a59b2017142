// The parts of quantization_detailed_analysis.json that are means over runs.
#ifndef QSWEEP_ANALYSIS_DETAILS_H_
#define QSWEEP_ANALYSIS_DETAILS_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "analysis/run_facts.h"
#include "qsweep/v1/report.pb.h"

namespace qsweep {

// All in the order of the first run concerned.

// Of what PairScope keeps together over adapters: what was expected and what came of it.
std::vector<v1::QuantizationEffect> QuantizationEffects(
    const std::vector<RunFacts>& runs, const std::vector<std::optional<size_t>>& twins);

// Per model, weights, task, quantization and layer, where runs recorded them.
std::vector<v1::LayerSensitivity> LayerSensitivities(const std::vector<RunFacts>& runs);

// Of what PairScope keeps together over adapters, by block: the mean norm of the block's gradient,
// over runs.
std::vector<v1::BlockGradient> BlockGradients(const std::vector<RunFacts>& runs);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_DETAILS_H_
