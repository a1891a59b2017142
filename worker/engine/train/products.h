// What a finished run leaves in its directory.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_PRODUCTS_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_PRODUCTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/model/vit.h"

namespace qsweep::engine {

// Writes the model's trained weights under the names of common/attempt_dir.h, by training.method.
// The first file holds the weights.
absl::StatusOr<std::vector<v1::FileFact>> WriteProducts(const std::string& directory,
                                                        const v1::ExperimentSpec& spec,
                                                        const Vit& model);

// By whom and with what: everything but the weights' and the adapter's facts.
v1::Provenance MakeProvenance(const v1::ExperimentSpec& spec, int threads);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_PRODUCTS_H_
