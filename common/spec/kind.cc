#include "common/spec/kind.h"

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/spec/datasets.h"
#include "common/spec/models.h"
#include "common/spec/pairs.h"

namespace qsweep {
namespace {

// Two mixtures have the label in common and nothing else.
std::string BaseName(const v1::Quantization& quantization) {
  const std::string label = QuantizationLabel(quantization);
  if (quantization.overrides().empty()) return label;
  return absl::StrCat(label, "-", Sha256Hex(quantization.SerializeAsString()).substr(0, 8));
}

int64_t ImageSize(const v1::ExperimentSpec& spec) {
  if (spec.dataset().image_size() > 0) return spec.dataset().image_size();
  const ModelShape* model = FindModel(spec.model().name());
  return model == nullptr ? 0 : model->image_size;
}

}  // namespace

std::string RunKind(const v1::ExperimentSpec& spec) {
  return absl::StrCat(
      spec.model().name(), "/", ImageSize(spec), "/", spec.training().method(), "/",
      BaseName(spec.quantization()), "/",
      spec.training().use_mixed_precision() ? spec.quantization().compute_dtype() : "float32", "/",
      spec.dataset().name());
}

int64_t ImagesToTrain(const v1::ExperimentSpec& spec) {
  return ImagesOf(spec.dataset()).train * spec.training().num_epochs();
}

}  // namespace qsweep
