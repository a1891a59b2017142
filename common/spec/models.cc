#include "common/spec/models.h"

namespace qsweep {

const std::vector<ModelShape>& KnownModels() {
  // DeiT: arXiv 2012.12877, table 1; ImageNet statistics as timm's IMAGENET_DEFAULT_{MEAN,STD}.
  // vit_mini: ours, for 28 x 28 images; 49 patches, 0.3 M parameters.
  static const std::vector<ModelShape> models = {
      {"deit_tiny_patch16_224",
       224,
       16,
       192,
       12,
       3,
       4,
       1000,
       1e-6,
       {0.485, 0.456, 0.406},
       {0.229, 0.224, 0.225}},
      {"deit_small_patch16_224",
       224,
       16,
       384,
       12,
       6,
       4,
       1000,
       1e-6,
       {0.485, 0.456, 0.406},
       {0.229, 0.224, 0.225}},
      {"deit_base_patch16_224",
       224,
       16,
       768,
       12,
       12,
       4,
       1000,
       1e-6,
       {0.485, 0.456, 0.406},
       {0.229, 0.224, 0.225}},
      {"vit_mini_patch4_28", 28, 4, 64, 6, 2, 4, 0, 1e-6, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}},
  };
  return models;
}

const ModelShape* FindModel(absl::string_view name) {
  for (const ModelShape& model : KnownModels()) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

}  // namespace qsweep
