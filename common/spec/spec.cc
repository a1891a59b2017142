#include "common/spec/spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/spec/datasets.h"
#include "common/spec/fields.h"
#include "common/spec/models.h"
#include "common/spec/pairs.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr size_t kMaxJsonBytes = 1 << 20;
constexpr char kProducerPrefix[] = "run:";

v1::ExperimentSpec MakeDefaultSpec() {
  v1::ExperimentSpec spec;
  for (const SpecField& field : SpecFields()) {
    for (const absl::string_view text :
         absl::StrSplit(field.rule->default_value(), ',', absl::SkipEmpty())) {
      QSWEEP_CHECK(AddText(field, text, &spec).ok());
    }
    QSWEEP_CHECK(RuleViolation(spec, field).empty());
  }
  return spec;
}

v1::ExperimentSpec WithDefaults(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec complete = DefaultSpec();
  for (const SpecField& field : SpecFields()) {  // merging would append to a default list
    if (field.leaf->is_repeated() && IsSet(spec, field)) ClearField(field, &complete);
  }
  complete.MergeFrom(spec);
  return complete;
}

// 0, 1, ... n-1 for a dataset of n classes.
bool NamesAllClasses(const v1::Dataset& dataset) {
  const DatasetShape* known = FindDataset(dataset.name());
  if (known == nullptr || dataset.classes_size() != known->classes) return false;
  for (int i = 0; i < dataset.classes_size(); ++i) {
    if (dataset.classes(i) != i) return false;
  }
  return true;
}

void NormalizeQuantization(v1::ExperimentSpec* spec) {
  const v1::Quantization& defaults = DefaultSpec().quantization();
  v1::Quantization* quantization = spec->mutable_quantization();
  if (!MayUseFourBits(*spec)) {
    quantization->set_quant_type(defaults.quant_type());
    quantization->set_blocksize(defaults.blocksize());
  }
  if (!MayUseEightBits(*spec)) quantization->set_int8_compute(defaults.int8_compute());
  if (quantization->int8_compute() != "dynamic") {
    quantization->set_llm_int8_threshold(defaults.llm_int8_threshold());
  }
  if (quantization->bits() >= 0) quantization->set_bits_budget(defaults.bits_budget());
  if (!Quantizes(*quantization) && spec->training().method() != "sensitivity") {
    quantization->clear_overrides();  // "none", all of them
    *quantization->mutable_skip_modules() = defaults.skip_modules();
  }
}

// The parameters of augmentations that are not applied.
void NormalizeAugmentation(v1::Dataset* dataset) {
  const v1::Dataset& defaults = DefaultSpec().dataset();
  const auto applied = [dataset](const char* name) {
    return std::find(dataset->augmentation().begin(), dataset->augmentation().end(), name) !=
           dataset->augmentation().end();
  };
  if (!applied("random_resized_crop")) dataset->set_crop_scale(defaults.crop_scale());
  if (!applied("color_jitter")) dataset->set_color_jitter(defaults.color_jitter());
  if (!applied("random_erasing")) dataset->set_random_erasing(defaults.random_erasing());
  if (!applied("mixup")) dataset->set_mixup_alpha(defaults.mixup_alpha());
  if (!applied("cutmix")) dataset->set_cutmix_alpha(defaults.cutmix_alpha());
}

}  // namespace

const v1::ExperimentSpec& DefaultSpec() {
  static const auto& spec = *new v1::ExperimentSpec(MakeDefaultSpec());
  return spec;
}

v1::ExperimentSpec Normalized(v1::ExperimentSpec incomplete) {
  v1::ExperimentSpec spec = WithDefaults(incomplete);
  if (spec.model().weights().empty()) spec.mutable_model()->clear_weights();
  const ModelShape* model = FindModel(spec.model().name());
  if (spec.dataset().image_size() == 0 && model != nullptr) {
    spec.mutable_dataset()->set_image_size(static_cast<int32_t>(model->image_size));
  }
  if (NamesAllClasses(spec.dataset())) spec.mutable_dataset()->clear_classes();
  if (spec.dataset().path().empty()) spec.mutable_dataset()->clear_path();
  NormalizeAugmentation(spec.mutable_dataset());
  if (spec.training().method() != "lora") *spec.mutable_lora() = DefaultSpec().lora();
  NormalizeQuantization(&spec);
  if (!spec.training().use_mixed_precision()) {
    spec.mutable_quantization()->set_compute_dtype(DefaultSpec().quantization().compute_dtype());
  }
  return spec;
}

std::optional<std::string> ProducerOf(const v1::Model& model) {
  absl::string_view weights = model.weights();
  if (!absl::ConsumePrefix(&weights, kProducerPrefix)) return std::nullopt;
  return std::string(weights);
}

std::string WeightsOf(absl::string_view producer) {
  return absl::StrCat(kProducerPrefix, producer);
}

// Not the JSON of the protobuf library: keys must outlive its versions.
std::string CanonicalJson(const v1::ExperimentSpec& any) {
  const v1::ExperimentSpec spec = Normalized(any);
  std::string json = "{";
  const google::protobuf::FieldDescriptor* open = nullptr;  // section begun
  for (const SpecField& field : SpecFields()) {
    if (SameValue(spec, DefaultSpec(), field)) continue;
    if (open != nullptr && field.section != open) json += '}';
    if (json.back() != '{') json += ',';
    if (field.section != open && field.section != nullptr) {
      absl::StrAppend(&json, "\"", field.section->name(), "\":{");
    }
    open = field.section;
    absl::StrAppend(&json, "\"", field.leaf->name(), "\":", ValueJson(spec, field));
  }
  return absl::StrCat(json, open != nullptr ? "}}" : "}");
}

std::string RunKey(const v1::ExperimentSpec& spec) { return Sha256Hex(CanonicalJson(spec)); }

absl::StatusOr<v1::ExperimentSpec> ParseSpecJson(absl::string_view json) {
  if (json.size() > kMaxJsonBytes) {
    return absl::InvalidArgumentError(absl::StrCat("spec: larger than ", kMaxJsonBytes, " bytes"));
  }
  v1::ExperimentSpec spec;
  RETURN_IF_ERROR(Annotate(FromJson(json, &spec), "spec"));
  return CompleteSpec(spec);
}

absl::StatusOr<v1::ExperimentSpec> ReadStoredSpec(absl::string_view json) {
  v1::ExperimentSpec spec;
  RETURN_IF_ERROR(Annotate(FromJson(json, &spec), "stored spec"));
  return WithDefaults(spec);
}

absl::StatusOr<v1::ExperimentSpec> CompleteSpec(const v1::ExperimentSpec& spec) {
  const v1::ExperimentSpec complete = WithDefaults(spec);
  std::string message;
  for (const SpecProblem& problem : Problems(complete)) {
    absl::StrAppend(&message, message.empty() ? "" : "\n", problem.path, ": ", problem.message);
  }
  if (!message.empty()) return absl::InvalidArgumentError(message);
  return Normalized(complete);
}

}  // namespace qsweep
