// The tensors of a ViT under timm's names: their shapes, from a file or drawn from a seed.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_BASE_TENSORS_H_
#define QSWEEP_WORKER_ENGINE_MODEL_BASE_TENSORS_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/spec/models.h"
#include "worker/engine/base/safetensors.h"

namespace qsweep::engine {

using NamedTensors = std::map<std::string, at::Tensor>;

// Name -> shape of every tensor of a ViT for images of `image_size` pixels a side and `classes`
// labels.
std::map<std::string, std::vector<int64_t>> TensorShapes(const ModelShape& shape,
                                                         int64_t image_size, int64_t classes);

// All of them, fp32; those that the file holds so are the file's own. The position embedding may be
// for another image size: it is resampled as timm does (resample_abs_pos_embed: the cls entry kept,
// the grid bicubic with antialiasing). A head for another number of classes, or none, is drawn anew
// from `seed`. Whatever else differs is listed in one InvalidArgument: missing and unexpected
// names, shapes, types, values that are not finite.
absl::StatusOr<NamedTensors> LoadBase(const TensorFile& file, const ModelShape& shape,
                                      int64_t image_size, int64_t classes, uint64_t seed);

// As timm initialises: N(0, 0.02²) for linear weights and the position embedding, N(0, 1e-6²) for
// the cls token, U(±1/sqrt(fan in)) for the patch embedding, ones and zeros for norms, zero biases.
NamedTensors DrawBase(const ModelShape& shape, int64_t image_size, int64_t classes, uint64_t seed);

// A stream of numbers for one tensor's initial values; `tensor` tells them apart.
at::Tensor DrawNormal(at::IntArrayRef sizes, double std, uint64_t seed, uint32_t tensor);
at::Tensor DrawUniform(at::IntArrayRef sizes, double bound, uint64_t seed, uint32_t tensor);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_BASE_TENSORS_H_
