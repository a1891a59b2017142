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

}  // namespace

std::string RunKind(const v1::ExperimentSpec& spec) {
  const ModelShape* model = FindModel(spec.model().name());
  const int64_t size = model == nullptr ? spec.dataset().image_size() : ImageSize(spec, *model);
  return absl::StrCat(
      spec.model().name(), "/", size, "/", spec.training().method(), "/",
      BaseName(spec.quantization()), "/",
      spec.training().use_mixed_precision() ? spec.quantization().compute_dtype() : "float32", "/",
      spec.dataset().name());
}

int64_t ImagesToTrain(const v1::ExperimentSpec& spec) {
  return ImagesOf(spec.dataset()).train * spec.training().num_epochs();
}

}  // namespace qsweep
