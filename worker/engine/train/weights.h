// Where a model's trained weights lie.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_WEIGHTS_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_WEIGHTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep::engine {

// The safetensors file `model` starts from; empty for random initialisation (pretrained: false).
// In this order: `given` (the file on the command line), model.weights, MODEL_ROOT/NAME/
// model.safetensors, and the Hugging Face cache ($HF_HUB_CACHE, $HF_HOME/hub or
// ~/.cache/huggingface/hub): models--timm--NAME or models--timm--NAME.TAG, snapshots/REVISION/
// model.safetensors, the revision refs/main names or else the first. NotFound says where it looked;
// InvalidArgument: the spec names a file that is not there.
absl::StatusOr<std::string> FindWeights(const v1::Model& model, const std::string& model_root,
                                        const std::string& given);

// Names of the known models whose weights are on this machine.
std::vector<std::string> ModelsPresent(const std::string& model_root);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_WEIGHTS_H_
