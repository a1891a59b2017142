// ExperimentSpec: defaults, checks, the canonical form and the key of a run. Every rule about a
// value is in the .proto (qsweep.v1.rule) or, where two fields are concerned, in Problems().
#ifndef QSWEEP_COMMON_SPEC_SPEC_H_
#define QSWEEP_COMMON_SPEC_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

// One thing wrong with a spec: where (dotted path), what, and the remedy.
struct SpecProblem {
  std::string path;
  std::string message;
};

// A spec in which every field has its default value (required fields are empty).
const v1::ExperimentSpec& DefaultSpec();

// Everything wrong with a complete spec (defaults filled in): ranges, choices, impossible
// combinations, unknown models. Empty: it can be run.
std::vector<SpecProblem> Problems(const v1::ExperimentSpec& spec);

// What is wrong with a warmup in a run of `steps`, in the words of Problems(); empty: nothing.
std::string WarmupProblem(int64_t warmup_steps, int64_t steps);

// The form in which equal experiments are equal messages: image_size 0 becomes the model's own, and
// what has no effect takes its default (quant_type at 8 bits, lora.* under linear_probe).
v1::ExperimentSpec Normalized(v1::ExperimentSpec spec);

// Compact JSON of the normalized spec, fields in proto order, those with their default value left
// out: a field added later changes no key.
std::string CanonicalJson(const v1::ExperimentSpec& spec);

// SHA-256 of the canonical JSON, lower-case hexadecimal.
std::string RunKey(const v1::ExperimentSpec& spec);

// SWEEP/RUN or key of the run that produces the weights, from model.weights = run:...; nullopt if
// none does. And the other way.
std::optional<std::string> ProducerOf(const v1::Model& model);
std::string WeightsOf(absl::string_view producer);

// JSON (canonical or not) to a complete spec: defaults filled in, checked, normalized. All problems
// in one InvalidArgument message, one a line.
absl::StatusOr<v1::ExperimentSpec> ParseSpecJson(absl::string_view json);
// Canonical JSON as it was stored, maybe by a release with other rules: defaults filled in, not
// checked. Not for what takes the spec to be possible, as running it and EstimatePeakBytes do.
absl::StatusOr<v1::ExperimentSpec> ReadStoredSpec(absl::string_view json);
// As ParseSpecJson, for a message in which fields with their default value may be unset.
absl::StatusOr<v1::ExperimentSpec> CompleteSpec(const v1::ExperimentSpec& spec);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_SPEC_H_
