#include "worker/engine/model/base_tensors.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"
#include "worker/engine/base/random.h"

namespace qsweep::engine {
namespace {

constexpr char kPosEmbed[] = "pos_embed";
constexpr int kMostProblemsShown = 20;

bool IsHead(const std::string& name) { return absl::StartsWith(name, "head."); }

std::string ShapeText(at::IntArrayRef sizes) {
  return absl::StrCat("[", absl::StrJoin(sizes, ", "), "]");
}

// Tensors are numbered by their place in this list, so a tensor's first values depend on nothing
// else.
uint32_t NumberOf(const std::map<std::string, std::vector<int64_t>>& shapes,
                  const std::string& name) {
  return static_cast<uint32_t>(std::distance(shapes.begin(), shapes.find(name)));
}

at::Tensor DrawTensor(const std::string& name, at::IntArrayRef sizes, int64_t patch_values,
                      uint64_t seed, uint32_t number) {
  if (absl::StartsWith(name, "patch_embed.")) {
    return DrawUniform(sizes, 1 / std::sqrt(static_cast<double>(patch_values)), seed, number);
  }
  if (name == "cls_token") return DrawNormal(sizes, 1e-6, seed, number);
  if (absl::StrContains(name, "norm")) {
    return at::full(sizes, absl::EndsWith(name, "weight") ? 1 : 0, at::kFloat);
  }
  if (absl::EndsWith(name, "bias")) return at::zeros(sizes, at::kFloat);
  return DrawNormal(sizes, 0.02, seed, number);
}

// [1, 1 + g², D] to [1, 1 + grid², D].
at::Tensor ResamplePosEmbed(const at::Tensor& from, int64_t grid) {
  const int64_t dim = from.size(2);
  const auto old_grid = static_cast<int64_t>(std::lround(std::sqrt(from.size(1) - 1)));
  const at::Tensor image =
      from.slice(1, 1).reshape({1, old_grid, old_grid, dim}).permute({0, 3, 1, 2}).contiguous();
  const at::Tensor resampled =
      at::_upsample_bicubic2d_aa(image, {grid, grid}, /*align_corners=*/false);
  return at::cat(
      {from.slice(1, 0, 1), resampled.permute({0, 2, 3, 1}).reshape({1, grid * grid, dim})}, 1);
}

// A position embedding for some other square grid.
bool IsOtherGrid(const std::string& name, const at::Tensor& t, const std::vector<int64_t>& want) {
  if (name != kPosEmbed || t.dim() != 3 || t.size(0) != 1 || t.size(2) != want[2]) return false;
  const auto side =
      static_cast<int64_t>(std::lround(std::sqrt(std::max<int64_t>(t.size(1), 1) - 1)));
  return side > 0 && side * side == t.size(1) - 1;
}

absl::Status Misfits(const std::string& model, const std::vector<std::string>& problems) {
  std::vector<std::string> shown = problems;
  if (shown.size() > kMostProblemsShown) {
    shown.resize(kMostProblemsShown);
    shown.push_back(absl::StrCat("and ", problems.size() - kMostProblemsShown, " more"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the weights do not fit ", model, ":\n  ", absl::StrJoin(shown, "\n  ")));
}

}  // namespace

std::map<std::string, std::vector<int64_t>> TensorShapes(const ModelShape& shape,
                                                         int64_t image_size, int64_t classes) {
  const int64_t dim = shape.dim, hidden = shape.dim * shape.mlp_ratio, patch = shape.patch_size;
  const int64_t grid = image_size / patch;
  std::map<std::string, std::vector<int64_t>> shapes = {
      {"cls_token", {1, 1, dim}},
      {kPosEmbed, {1, 1 + grid * grid, dim}},
      {"patch_embed.proj.weight", {dim, 3, patch, patch}},
      {"patch_embed.proj.bias", {dim}},
      {"norm.weight", {dim}},
      {"norm.bias", {dim}},
      {"head.weight", {classes, dim}},
      {"head.bias", {classes}}};
  for (int64_t i = 0; i < shape.depth; ++i) {
    const auto add = [&](const char* module, std::vector<int64_t> weight) {
      const std::string name = absl::StrCat("blocks.", i, ".", module);
      shapes[name + ".bias"] = {weight[0]};
      shapes[name + ".weight"] = std::move(weight);
    };
    add("norm1", {dim});
    add("attn.qkv", {3 * dim, dim});
    add("attn.proj", {dim, dim});
    add("norm2", {dim});
    add("mlp.fc1", {hidden, dim});
    add("mlp.fc2", {dim, hidden});
  }
  return shapes;
}

absl::StatusOr<NamedTensors> LoadBase(const TensorFile& file, const ModelShape& shape,
                                      int64_t image_size, int64_t classes, uint64_t seed) {
  const auto shapes = TensorShapes(shape, image_size, classes);
  std::vector<std::string> problems;
  NamedTensors base;
  for (const auto& [name, want] : shapes) {
    const auto found = file.tensors.find(name);
    const bool fits = found != file.tensors.end() && found->second.sizes() == at::IntArrayRef(want);
    if (IsHead(name) && !fits) {
      const int64_t patch_values = 3 * shape.patch_size * shape.patch_size;
      base[name] = DrawTensor(name, want, patch_values, seed, NumberOf(shapes, name));
    } else if (found == file.tensors.end()) {
      problems.push_back(absl::StrCat(name, ": missing, expected ", ShapeText(want)));
    } else if (!fits && !IsOtherGrid(name, found->second, want)) {
      problems.push_back(absl::StrCat(name, ": ", ShapeText(found->second.sizes()), ", expected ",
                                      ShapeText(want)));
    } else if (!at::isFloatingType(found->second.scalar_type())) {
      problems.push_back(absl::StrCat(name, ": not floating-point values"));
    } else if (const at::Tensor t = found->second.to(at::kFloat).contiguous();
               !at::isfinite(t).all().item<bool>()) {
      problems.push_back(absl::StrCat(name, ": holds a value that is not finite"));
    } else {
      base[name] = fits ? t : ResamplePosEmbed(t, image_size / shape.patch_size);
    }
  }
  for (const auto& [name, unused] : file.tensors) {
    if (!shapes.contains(name)) problems.push_back(absl::StrCat(name, ": unexpected"));
  }
  if (!problems.empty()) return Misfits(shape.name, problems);
  return base;
}

NamedTensors DrawBase(const ModelShape& shape, int64_t image_size, int64_t classes, uint64_t seed) {
  const auto shapes = TensorShapes(shape, image_size, classes);
  const int64_t patch_values = 3 * shape.patch_size * shape.patch_size;
  NamedTensors base;
  for (const auto& [name, sizes] : shapes) {
    base[name] = DrawTensor(name, sizes, patch_values, seed, NumberOf(shapes, name));
  }
  return base;
}

at::Tensor DrawNormal(at::IntArrayRef sizes, double std, uint64_t seed, uint32_t tensor) {
  at::Tensor values = at::empty(sizes, at::kFloat);
  RandomStream stream(MakeKey(seed, Purpose::kInitialization, tensor), 0, 0);
  float* out = values.data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) {
    out[i] = static_cast<float>(std * stream.NextNormal());
  }
  return values;
}

at::Tensor DrawUniform(at::IntArrayRef sizes, double bound, uint64_t seed, uint32_t tensor) {
  at::Tensor values = at::empty(sizes, at::kFloat);
  RandomStream stream(MakeKey(seed, Purpose::kInitialization, tensor), 0, 0);
  float* out = values.data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) {
    out[i] = static_cast<float>(bound * (2.0 * stream.NextFloat() - 1));
  }
  return values;
}

}  // namespace qsweep::engine
