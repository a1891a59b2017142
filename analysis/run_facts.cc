#include "analysis/run_facts.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/spec/pairs.h"

namespace qsweep {
namespace {

std::string EnumText(absl::string_view name, size_t prefix) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name.substr(prefix)), {{"_", " "}});
}

}  // namespace

bool IsOneKind(const v1::Quantization& quantization) {
  return quantization.bits() > 0 && quantization.overrides().empty();
}

bool Trains(const v1::ExperimentSpec& spec) { return spec.training().method() != "sensitivity"; }

bool TrainsQuantized(const v1::ExperimentSpec& spec) {
  return Trains(spec) && Quantizes(spec.quantization());
}

std::string SeedlessKey(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec key = spec;
  key.clear_seed();
  return key.SerializeAsString();
}

std::string TwinKey(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec key = spec;
  key.clear_quantization();
  key.mutable_quantization()->set_compute_dtype(spec.quantization().compute_dtype());
  return key.SerializeAsString();
}

std::string StateText(v1::RunState state) {
  if (!v1::RunState_IsValid(state)) return absl::StrCat("state ", static_cast<int>(state));
  return EnumText(v1::RunState_Name(state), 10);  // RUN_STATE_
}

std::string BlameText(v1::Blame blame) {
  if (!v1::Blame_IsValid(blame)) return absl::StrCat("blame ", static_cast<int>(blame));
  return EnumText(v1::Blame_Name(blame), 6);  // BLAME_
}

}  // namespace qsweep
