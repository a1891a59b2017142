// What a run will need, before it runs: for placement only. The engine measures and decides by
// itself.
#ifndef QSWEEP_COMMON_SPEC_MEMORY_ESTIMATE_H_
#define QSWEEP_COMMON_SPEC_MEMORY_ESTIMATE_H_

#include <cstdint>

#include "qsweep/v1/spec.pb.h"

namespace qsweep {

// Peak resident bytes of the qtrain process that trains `complete_spec` (of a known model) with
// `micro_batch` images at a time; the sum's terms are in the .cc file. gradient_checkpointing
// `auto` counts as `full`, the least it can come down to.
int64_t EstimatePeakBytes(const v1::ExperimentSpec& complete_spec, int64_t micro_batch);

// Bytes that a run leaves in the scheduler's store at most: two checkpoints (of each trainable
// value also AdamW's moments and the best value so far) and its products.
int64_t EstimateStoredBytes(const v1::ExperimentSpec& complete_spec);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_MEMORY_ESTIMATE_H_
