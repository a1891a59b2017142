// The Vision Transformers qsweep knows, by timm name.
#ifndef QSWEEP_COMMON_SPEC_MODELS_H_
#define QSWEEP_COMMON_SPEC_MODELS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

struct ModelShape {
  std::string name;
  int64_t image_size;  // pixels a side that the weights are for
  int64_t patch_size;
  int64_t dim;  // embedding
  int64_t depth;
  int64_t heads;
  int64_t mlp_ratio = 4;
  int64_t classes = 0;     // of the pretrained head; 0: it has none
  double norm_eps = 1e-6;  // LayerNorm
  // Of the pixels (0..1), per channel.
  double mean[3];
  double std[3];
};

const std::vector<ModelShape>& KnownModels();
// nullptr: unknown.
const ModelShape* FindModel(absl::string_view name);

// Pixels a side of the images that a run gives the model.
int64_t ImageSize(const v1::ExperimentSpec& spec, const ModelShape& shape);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_MODELS_H_
