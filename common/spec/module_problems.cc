#include "common/spec/module_problems.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/fields.h"
#include "common/spec/modules.h"
#include "common/spec/pairs.h"
#include "common/wording.h"

namespace qsweep {
namespace {

using ProblemsOut = std::vector<SpecProblem>;
using Texts = google::protobuf::RepeatedPtrField<std::string>;
using Names = std::vector<std::string>;

constexpr char kLinears[] = "attn.qkv, attn.proj, mlp.fc1 and mlp.fc2 in blocks.0, blocks.1, ...";

Names BlockLinearNames(const ModelShape& shape) {
  Names names;
  for (ModuleShape& module : BlockLinears(shape)) names.push_back(std::move(module.name));
  return names;
}

bool MatchesOne(absl::string_view pattern, const Names& modules) {
  return std::any_of(modules.begin(), modules.end(), [pattern](const std::string& module) {
    return ModuleMatches(module, pattern);
  });
}

// Every pattern must match: one that matches nothing is a slip, and would pass in silence.
void CheckPattern(const std::string& path, absl::string_view pattern, const Names& modules,
                  absl::string_view known, ProblemsOut* out) {
  if (MatchesOne(pattern, modules)) return;
  const std::string error = PatternError(pattern);
  out->push_back({path, error.empty()
                            ? absl::StrCat(Quoted(pattern), " matches no module; there are ", known)
                            : absl::StrCat(Quoted(pattern), " is no regular expression: ", error)});
}

void CheckPatterns(const std::string& path, const Texts& patterns, const Names& modules,
                   absl::string_view known, ProblemsOut* out) {
  for (const std::string& pattern : patterns) CheckPattern(path, pattern, modules, known, out);
}

void CheckRank(const std::string& path, int64_t rank, const ModelShape& shape, ProblemsOut* out) {
  if (rank <= shape.dim) return;
  out->push_back({path, absl::StrCat(rank, " is above ", shape.dim, ", the width of ", shape.name,
                                     ": no adapter of its layers can have that rank")});
}

// Patterns of what is adapted, with whole numbers (numbers) above 0.
void CheckNumbers(const std::string& path, const Texts& pairs, bool whole, const Names& adapted,
                  const ModelShape& shape, ProblemsOut* out) {
  for (const std::string& element : pairs) {
    const PatternPair pair = SplitPair(element);
    if (pair.pattern.empty()) continue;  // its rule has said so
    CheckPattern(path, pair.pattern, adapted, "those of lora.target_modules", out);
    int64_t rank = 0;
    double number = 0;
    const bool good =
        whole ? absl::SimpleAtoi(pair.value, &rank) && rank > 0
              : absl::SimpleAtod(pair.value, &number) && number > 0 && std::isfinite(number);
    if (!good) {
      out->push_back({path, absl::StrCat("must give ", Quoted(pair.pattern),
                                         whole ? " a whole number" : " a number", " above 0, not ",
                                         Quoted(pair.value))});
    } else if (whole) {
      CheckRank(path, rank, shape, out);
    }
  }
}

void CheckSaved(const v1::Lora& lora, const Names& linears, const ModelShape& shape,
                ProblemsOut* out) {
  Names savable = linears;
  savable.push_back("head");
  for (std::string& norm : NormNames(shape)) savable.push_back(std::move(norm));
  CheckPatterns("lora.modules_to_save", lora.modules_to_save(), savable,
                absl::StrCat("head, norm, norm1, norm2, ", kLinears), out);
  if (!ModuleMatchesAny("head", lora.modules_to_save())) {
    out->push_back({"lora.modules_to_save", "must name head, which is always trained"});
  }
  for (const std::string& module : linears) {
    if (!ModuleMatchesAny(module, lora.modules_to_save()) ||
        !ModuleMatchesAny(module, lora.target_modules())) {
      continue;
    }
    out->push_back({"lora.modules_to_save",
                    absl::StrCat(module,
                                 " is in lora.target_modules too; it can be trained in "
                                 "full or have an adapter")});
    return;
  }
}

void CheckLora(const v1::ExperimentSpec& spec, const ModelShape& shape, ProblemsOut* out) {
  const v1::Lora& lora = spec.lora();
  const Names linears = BlockLinearNames(shape);
  CheckRank("lora.rank", lora.rank(), shape, out);
  CheckPatterns("lora.target_modules", lora.target_modules(), linears, kLinears, out);
  Names adapted;
  for (const std::string& module : linears) {
    if (ModuleMatchesAny(module, lora.target_modules())) adapted.push_back(module);
  }
  CheckNumbers("lora.rank_pattern", lora.rank_pattern(), /*whole=*/true, adapted, shape, out);
  CheckNumbers("lora.alpha_pattern", lora.alpha_pattern(), /*whole=*/false, adapted, shape, out);
  CheckSaved(lora, linears, shape, out);
  // Of what is adapted.
  const bool quantizes = std::any_of(adapted.begin(), adapted.end(), [&](const auto& module) {
    return QuantizationOf(module, spec.quantization()).bits() != 0;
  });
  if (lora.init_lora_weights() == "loftq" && !quantizes) {
    out->push_back(
        {"lora.init_lora_weights",
         "loftq begins with the error of quantization, which nothing that is adapted has; set "
         "quantization.bits, or default"});
  }
  if (!spec.training().quantization_aware()) return;
  if (!quantizes) {
    out->push_back(
        {"training.quantization_aware",
         "needs quantization.bits for what is adapted: what the merged weights are to be "
         "quantized to"});
  }
  if (lora.dropout() != 0) {
    out->push_back({"lora.dropout",
                    "must be 0 with training.quantization_aware: a merged adapter has no dropout"});
  }
  if (lora.init_lora_weights() != "default") {
    out->push_back({"lora.init_lora_weights", "must be default with training.quantization_aware"});
  }
  if (spec.quantization().int8_compute() == "dynamic") {
    out->push_back({"quantization.int8_compute",
                    "must be dequantize with training.quantization_aware, whose weights change"});
  }
}

void CheckOverrides(const v1::Quantization& quantization, const Names& linears, ProblemsOut* out) {
  const SpecField& field = *FindSpecField("quantization.quant_type");
  Names known = {"none", "int8"};
  known.insert(known.end(), field.rule->one_of().begin(), field.rule->one_of().end());
  for (const std::string& element : quantization.overrides()) {
    const PatternPair pair = SplitPair(element);
    if (pair.pattern.empty()) continue;
    CheckPattern("quantization.overrides", pair.pattern, linears, kLinears, out);
    if (std::find(known.begin(), known.end(), std::string(pair.value)) != known.end()) continue;
    out->push_back(
        {"quantization.overrides",
         absl::StrCat("must give ", Quoted(pair.pattern), " one of ", absl::StrJoin(known, ", "),
                      ", not ", Quoted(pair.value), DidYouMean(pair.value, known))});
  }
}

// A sensitivity run measures what is not skipped; others quantize what is not trained in full, too.
void CheckSkips(const v1::ExperimentSpec& spec, const Names& linears, ProblemsOut* out) {
  v1::Quantization quantization = spec.quantization();
  const bool measures = spec.training().method() == "sensitivity";
  if (measures) quantization.set_bits(4);
  if (std::all_of(linears.begin(), linears.end(), [&](const std::string& module) {
        return QuantizationOf(module, quantization).bits() == 0 ||
               (spec.training().method() == "lora" &&
                ModuleMatchesAny(module, spec.lora().modules_to_save()));
      })) {
    out->push_back({"quantization.skip_modules",
                    measures ? "leaves no module to measure"
                             : "leaves no module to quantize; set quantization.bits: 0 if that is "
                               "meant"});
  }
  Names modules = linears;
  modules.insert(modules.end(), {"head", "patch_embed.proj"});
  CheckPatterns("quantization.skip_modules", quantization.skip_modules(), modules,
                absl::StrCat("head, patch_embed.proj, ", kLinears), out);
}

void CheckQuantization(const v1::ExperimentSpec& spec, const ModelShape& shape, ProblemsOut* out) {
  const v1::Quantization& quantization = spec.quantization();
  const std::string& method = spec.training().method();
  if (method == "sensitivity" && (quantization.bits() < 0 || !quantization.overrides().empty())) {
    out->push_back({quantization.bits() < 0 ? "quantization.bits" : "quantization.overrides",
                    "not with training.method: sensitivity, which quantizes one layer at a time"});
    return;
  }
  const Names linears = BlockLinearNames(shape);
  CheckOverrides(quantization, linears, out);
  if (!Quantizes(quantization) && method != "sensitivity") return;
  CheckSkips(spec, linears, out);
  if (quantization.bits() < 0 && !spec.model().pretrained()) {
    out->push_back({"quantization.bits",
                    "auto measures trained weights; with model.pretrained: false there are none"});
  }
  if (method == "full") {
    out->push_back({"quantization.bits",
                    "must be 0 with training.method: full, which trains the weights that would "
                    "be frozen; or train with lora"});
  }
}

}  // namespace

void CheckModules(const v1::ExperimentSpec& spec, const ModelShape& shape,
                  std::vector<SpecProblem>* problems) {
  if (spec.training().method() == "lora") {
    CheckLora(spec, shape, problems);
  } else if (spec.training().quantization_aware()) {
    problems->push_back({"training.quantization_aware", "needs training.method: lora"});
  }
  CheckQuantization(spec, shape, problems);
}

}  // namespace qsweep
