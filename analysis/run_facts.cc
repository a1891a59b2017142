#include "analysis/run_facts.h"

#include "common/spec/pairs.h"

namespace qsweep {

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

}  // namespace qsweep
