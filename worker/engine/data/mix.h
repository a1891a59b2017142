// mixup (arXiv 1710.09412) and cutmix (arXiv 1905.04899) of a finished batch.
#ifndef QSWEEP_WORKER_ENGINE_DATA_MIX_H_
#define QSWEEP_WORKER_ENGINE_DATA_MIX_H_

#include <cstdint>
#include <vector>

#include "qsweep/v1/spec.pb.h"
#include "worker/engine/data/loader.h"

namespace qsweep::engine {

bool Mixes(const v1::Dataset& spec);

// Image i is mixed with the i-th from the end, as timm does; the share is drawn for each image,
// from (seed, epoch, indices[i]). `batch` gets targets fp32 [B, classes]: the shares of the two
// labels.
void MixBatch(const v1::Dataset& spec, uint64_t seed, int64_t epoch,
              const std::vector<int64_t>& indices, int64_t classes, Batch* batch);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_MIX_H_
