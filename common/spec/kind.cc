#include "common/spec/kind.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/spec/datasets.h"
#include "common/spec/models.h"

namespace qsweep {
namespace {

std::string BaseName(const v1::ExperimentSpec& spec) {
  const v1::Quantization& q = spec.quantization();
  if (q.bits() == 0 || spec.training().method() == "full") return "fp32";
  if (q.bits() == 8) return q.int8_compute() == "dynamic" ? "int8-dynamic" : "int8";
  return absl::StrCat(q.quant_type(), q.double_quant() ? "-dq" : "");
}

int64_t ImageSize(const v1::ExperimentSpec& spec) {
  if (spec.dataset().image_size() > 0) return spec.dataset().image_size();
  const ModelShape* model = FindModel(spec.model().name());
  return model == nullptr ? 0 : model->image_size;
}

}  // namespace

std::string RunKind(const v1::ExperimentSpec& spec) {
  return absl::StrCat(spec.model().name(), "/", ImageSize(spec), "/", spec.training().method(), "/",
                      BaseName(spec), "/", spec.training().use_mixed_precision() ? "mixed" : "fp32",
                      "/", spec.dataset().name());
}

int64_t ImagesToTrain(const v1::ExperimentSpec& spec) {
  const DatasetShape* dataset = FindDataset(spec.dataset().name());
  int64_t images = dataset == nullptr ? 0 : dataset->train_images;
  if (spec.dataset().train_limit() > 0) images = std::min(images, spec.dataset().train_limit());
  return images * spec.training().num_epochs();
}

}  // namespace qsweep
