// Problems(): what the rules say of each field, then what two fields say of each other.
#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/spec/datasets.h"
#include "common/spec/fields.h"
#include "common/spec/models.h"
#include "common/spec/module_problems.h"
#include "common/spec/pairs.h"
#include "common/spec/spec.h"
#include "common/wording.h"

namespace qsweep {
namespace {

using ProblemsOut = std::vector<SpecProblem>;

void CheckWeights(const v1::Model& model, const ModelShape& shape, ProblemsOut* out) {
  const std::string& weights = model.weights();
  if (!model.pretrained()) {
    if (!weights.empty()) {
      out->push_back(
          {"model.weights", "has no effect with pretrained: false; remove one of the two"});
    }
    return;
  }
  if (weights.empty() && shape.classes == 0) {
    out->push_back(
        {"model.weights",
         absl::StrCat("needed, for ", shape.name,
                      " has no published weights; name a "
                      "safetensors file or run:SWEEP/RUN, or set model.pretrained: false")});
  }
  if (const auto run = ProducerOf(model); run && !IsSha256Hex(*run)) {
    const size_t slash = run->find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == run->size()) {
      out->push_back(
          {"model.weights", absl::StrCat("must be run:SWEEP/RUN, not ", Quoted(weights))});
    }
  }
}

void CheckClasses(const v1::Dataset& dataset, const DatasetShape& known, ProblemsOut* out) {
  if (dataset.classes_size() == 1) {
    out->push_back({"dataset.classes", "names one class; two at least make a classification"});
  }
  for (const int32_t label : dataset.classes()) {
    if (label < known.classes) continue;
    out->push_back({"dataset.classes", absl::StrCat("label ", label, " does not exist; ",
                                                    known.name, " has 0 to ", known.classes - 1)});
    return;
  }
}

void CheckImageSize(const v1::Dataset& dataset, const ModelShape& shape, ProblemsOut* out) {
  const int64_t size = dataset.image_size(), patch = shape.patch_size;
  if (size % patch == 0) return;
  const int64_t lower = std::max(size / patch, int64_t{1}) * patch;
  out->push_back({"dataset.image_size",
                  absl::StrCat(size, " is not a multiple of the patch of ", shape.name, ", ", patch,
                               "; ", lower, " and ", lower + patch, " are")});
}

void CheckPath(const v1::Dataset& dataset, ProblemsOut* out) {
  if (dataset.name() == "imagefolder" && dataset.path().empty()) {
    out->push_back({"dataset.path",
                    "missing; an imagefolder needs one: a directory under the data "
                    "root with train/CLASS/*.jpg and val/CLASS/*.jpg"});
  } else if (absl::StrContains(dataset.path(), '/')) {
    out->push_back(
        {"dataset.path", absl::StrCat("must be the name of a directory in the data root, "
                                      "by which workers know it; not ",
                                      Quoted(dataset.path()))});
  } else if (dataset.name() != "imagefolder" && !dataset.path().empty()) {
    out->push_back({"dataset.path", "has no effect but with dataset.name: imagefolder; remove it"});
  }
}

void CheckWarmup(const v1::ExperimentSpec& spec, ProblemsOut* out) {
  const int64_t images = ImagesOf(spec.dataset()).train;
  const int64_t batch = std::max(spec.dataset().batch_size(), 1);
  const int64_t steps = (images + batch - 1) / batch * spec.training().num_epochs();
  if (steps <= 0) return;
  const std::string problem = WarmupProblem(spec.training().warmup_steps(), steps);
  if (!problem.empty()) out->push_back({"training.warmup_steps", problem});
}

}  // namespace

std::string WarmupProblem(int64_t warmup_steps, int64_t steps) {
  if (warmup_steps < steps) return "";
  return absl::StrCat(
      warmup_steps, " are not fewer than the ", steps,
      " steps of the whole run, so the learning rate would never be reached; lower it");
}

std::vector<SpecProblem> Problems(const v1::ExperimentSpec& spec) {
  ProblemsOut problems;
  for (const SpecField& field : SpecFields()) {
    std::string violation = RuleViolation(spec, field);
    if (violation.empty() && field.rule->required() && !IsSet(spec, field))
      violation = "missing; it has no default";
    if (!violation.empty()) problems.push_back({field.path, violation});
  }
  if (spec.quantization().double_quant() && !MayUseFourBits(spec)) {
    problems.push_back(
        {"quantization.double_quant",
         absl::StrCat("needs bits: 4, for only the scales of 4-bit blocks are quantized again; "
                      "here bits is ",
                      spec.quantization().bits())});
  }
  if (spec.quantization().int8_compute() == "dynamic" && !MayUseEightBits(spec)) {
    problems.push_back({"quantization.int8_compute",
                        "dynamic needs int8 layers: bits: 8 or auto, or an override to int8"});
  }
  const ModelShape* shape = FindModel(spec.model().name());
  const DatasetShape* dataset = FindDataset(spec.dataset().name());
  if (shape != nullptr) {
    CheckWeights(spec.model(), *shape, &problems);
    CheckImageSize(spec.dataset(), *shape, &problems);
    CheckModules(spec, *shape, &problems);
  } else if (!spec.model().name().empty()) {
    std::vector<std::string> names;
    for (const ModelShape& model : KnownModels()) names.push_back(model.name);
    problems.push_back({"model.name", absl::StrCat("unknown model ", Quoted(spec.model().name()),
                                                   DidYouMeanOrKnown(spec.model().name(), names))});
  }
  CheckPath(spec.dataset(), &problems);
  if (spec.training().method() == "sensitivity" && !spec.model().pretrained()) {
    problems.push_back(
        {"model.pretrained",
         "must be true with training.method: sensitivity: random weights say nothing"});
  }
  if (dataset != nullptr) CheckClasses(spec.dataset(), *dataset, &problems);
  CheckWarmup(spec, &problems);
  return problems;
}

}  // namespace qsweep
