#include "analysis/run_facts.h"

#include "absl/strings/str_cat.h"
#include "analysis/numbers.h"
#include "common/spec/pairs.h"

namespace qsweep {

bool IsOneKind(const v1::Quantization& quantization) {
  return quantization.bits() > 0 && quantization.overrides().empty();
}

bool Trains(const v1::ExperimentSpec& spec) { return spec.training().method() != "sensitivity"; }

bool TrainsQuantized(const v1::ExperimentSpec& spec) {
  return Trains(spec) && Quantizes(spec.quantization());
}

std::string HowComputed(const v1::RunResult& result) {
  const v1::MemoryAccount& memory = result.memory();
  const v1::Provenance& origin = result.provenance();
  const bool elsewhere = !origin.device().empty() && origin.device() != "cpu";
  return absl::StrCat("micro-batch ", memory.micro_batch(), ", checkpointing ",
                      memory.gradient_checkpointing(), ", ", Plural(origin.threads(), "thread"),
                      " of ", origin.cpu(),
                      elsewhere ? absl::StrCat(", on ", origin.device()) : "");
}

int64_t AllParameters(const v1::ExperimentSpec& spec, const v1::RunResult& result) {
  const bool beside = spec.training().method() == "lora";
  return result.total_parameters() + (beside ? result.trainable_parameters() : 0);
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

}  // namespace qsweep
