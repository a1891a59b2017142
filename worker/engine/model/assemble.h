// From a spec and base tensors to a network: what is frozen, in how many bits, what is adapted,
// what trains.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_ASSEMBLE_H_
#define QSWEEP_WORKER_ENGINE_MODEL_ASSEMBLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/spec/models.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/model/adapter_start.h"
#include "worker/engine/model/base_tensors.h"
#include "worker/engine/model/network.h"
#include "worker/engine/model/vit.h"

namespace qsweep::engine {

struct AssembledVit {
  Network network;
  std::vector<TrainableParameter> trainable;
  std::vector<std::string> adapted;
  std::map<std::string, AdapterPair>
      starts;                      // by module, of adapters that began otherwise than PEFT's
  std::vector<std::string> saved;  // modules trained in full beside adapters
  v1::QuantizationFacts quantization;
  int64_t total_parameters = 0;
};

// `base` holds every tensor of TensorShapes(), on the CPU. Errors: those of Vit::Create that are
// about the spec.
absl::StatusOr<AssembledVit> AssembleVit(const v1::ExperimentSpec& spec, const ModelShape& shape,
                                         int64_t image_size, const Vit::Options& options,
                                         const NamedTensors& base);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_ASSEMBLE_H_
