#include "common/spec/models.h"

namespace qsweep {
namespace {

// arXiv 2012.12877, table 1; ImageNet statistics as timm's IMAGENET_DEFAULT_{MEAN,STD}.
ModelShape Deit(const std::string& name, int64_t dim, int64_t heads) {
  return {.name = name,
          .image_size = 224,
          .patch_size = 16,
          .dim = dim,
          .depth = 12,
          .heads = heads,
          .classes = 1000,
          .mean = {0.485, 0.456, 0.406},
          .std = {0.229, 0.224, 0.225}};
}

// Ours, for 28 x 28 images; 49 patches, 0.3 M parameters.
ModelShape VitMini() {
  return {.name = "vit_mini_patch4_28",
          .image_size = 28,
          .patch_size = 4,
          .dim = 64,
          .depth = 6,
          .heads = 2,
          .mean = {0.5, 0.5, 0.5},
          .std = {0.5, 0.5, 0.5}};
}

}  // namespace

const std::vector<ModelShape>& KnownModels() {
  static const std::vector<ModelShape> models = {
      Deit("deit_tiny_patch16_224", /*dim=*/192, /*heads=*/3),
      Deit("deit_small_patch16_224", /*dim=*/384, /*heads=*/6),
      Deit("deit_base_patch16_224", /*dim=*/768, /*heads=*/12),
      VitMini(),
  };
  return models;
}

const ModelShape* FindModel(absl::string_view name) {
  for (const ModelShape& model : KnownModels()) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

int64_t ImageSize(const v1::ExperimentSpec& spec, const ModelShape& shape) {
  return spec.dataset().image_size() > 0 ? spec.dataset().image_size() : shape.image_size;
}

}  // namespace qsweep
