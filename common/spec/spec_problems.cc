// Problems(): what the rules say of each field, then what two fields say of each other.
#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/hash.h"
#include "common/spec/datasets.h"
#include "common/spec/fields.h"
#include "common/spec/models.h"
#include "common/spec/modules.h"
#include "common/spec/spec.h"
#include "common/spec/wording.h"

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
  absl::string_view run = weights;
  if (absl::ConsumePrefix(&run, "run:") && !IsSha256Hex(run)) {
    const size_t slash = run.find('/');
    if (slash == absl::string_view::npos || slash == 0 || slash + 1 == run.size()) {
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

// Every pattern must match: one that matches nothing is a slip, and would pass in silence.
void CheckPatterns(const std::string& path,
                   const google::protobuf::RepeatedPtrField<std::string>& patterns,
                   const std::vector<ModuleShape>& modules, absl::string_view known,
                   ProblemsOut* out) {
  for (const std::string& pattern : patterns) {
    const bool matched = std::any_of(
        modules.begin(), modules.end(),
        [&pattern](const ModuleShape& module) { return ModuleMatches(module.name, pattern); });
    if (!matched) {
      out->push_back(
          {path, absl::StrCat(Quoted(pattern), " matches no module; there are ", known)});
    }
  }
}

constexpr char kLinears[] = "attn.qkv, attn.proj, mlp.fc1 and mlp.fc2 in blocks.0, blocks.1, ...";

void CheckLora(const v1::Lora& lora, const ModelShape& shape, ProblemsOut* out) {
  if (lora.rank() > shape.dim) {
    out->push_back(
        {"lora.rank", absl::StrCat(lora.rank(), " is above ", shape.dim, ", the width of ",
                                   shape.name, ": no adapter of its layers can have that rank")});
  }
  CheckPatterns("lora.target_modules", lora.target_modules(), BlockLinears(shape), kLinears, out);
}

void CheckQuantization(const v1::ExperimentSpec& spec, const ModelShape& shape, ProblemsOut* out) {
  const v1::Quantization& quantization = spec.quantization();
  if (quantization.bits() == 0) return;
  if (spec.training().method() == "full") {
    out->push_back({"quantization.bits",
                    "must be 0 with training.method: full, which trains the weights that would "
                    "be frozen; or train with lora"});
  }
  std::vector<ModuleShape> modules = BlockLinears(shape);
  if (std::all_of(modules.begin(), modules.end(), [&quantization](const ModuleShape& module) {
        return ModuleMatchesAny(module.name, quantization.skip_modules());
      })) {
    out->push_back({"quantization.skip_modules",
                    "leaves no module to quantize; set quantization.bits: 0 if that is meant"});
  }
  modules.push_back({"head"});
  modules.push_back({"patch_embed.proj"});
  CheckPatterns("quantization.skip_modules", quantization.skip_modules(), modules,
                absl::StrCat("head, patch_embed.proj, ", kLinears), out);
}

void CheckWarmup(const v1::ExperimentSpec& spec, const DatasetShape& known, ProblemsOut* out) {
  const v1::Dataset& dataset = spec.dataset();
  int64_t images = known.train_images;
  if (dataset.classes_size() > 0) images = images / known.classes * dataset.classes_size();
  if (dataset.train_limit() > 0) images = std::min(images, dataset.train_limit());
  const int64_t batch = std::max(dataset.batch_size(), 1);
  const int64_t steps = (images + batch - 1) / batch * spec.training().num_epochs();
  if (spec.training().warmup_steps() < steps || steps <= 0) return;
  out->push_back(
      {"training.warmup_steps",
       absl::StrCat(
           spec.training().warmup_steps(), " are not fewer than the ", steps,
           " steps of the whole run, so the learning rate would never be reached; lower it")});
}

}  // namespace

std::vector<SpecProblem> Problems(const v1::ExperimentSpec& spec) {
  ProblemsOut problems;
  for (const SpecField& field : SpecFields()) {
    std::string violation = RuleViolation(spec, field);
    if (violation.empty() && field.rule->required() && !IsSet(spec, field))
      violation = "missing; it has no default";
    if (!violation.empty()) problems.push_back({field.path, violation});
  }
  if (spec.quantization().double_quant() && spec.quantization().bits() != 4) {
    problems.push_back(
        {"quantization.double_quant",
         absl::StrCat("needs bits: 4, for only the scales of 4-bit blocks are quantized again; "
                      "here bits is ",
                      spec.quantization().bits())});
  }
  const ModelShape* shape = FindModel(spec.model().name());
  const DatasetShape* dataset = FindDataset(spec.dataset().name());
  if (shape != nullptr) {
    CheckWeights(spec.model(), *shape, &problems);
    CheckImageSize(spec.dataset(), *shape, &problems);
    if (spec.training().method() == "lora") CheckLora(spec.lora(), *shape, &problems);
    CheckQuantization(spec, *shape, &problems);
  } else if (!spec.model().name().empty()) {
    std::vector<std::string> names;
    for (const ModelShape& model : KnownModels()) names.push_back(model.name);
    problems.push_back({"model.name", absl::StrCat("unknown model ", Quoted(spec.model().name()),
                                                   DidYouMeanOrKnown(spec.model().name(), names))});
  }
  if (dataset != nullptr) {
    CheckClasses(spec.dataset(), *dataset, &problems);
    CheckWarmup(spec, *dataset, &problems);
  }
  return problems;
}

}  // namespace qsweep
