// What runs have in common that need the same of a machine.
#ifndef QSWEEP_COMMON_SPEC_KIND_H_
#define QSWEEP_COMMON_SPEC_KIND_H_

#include <cstdint>
#include <string>

#include "qsweep/v1/spec.pb.h"

namespace qsweep {

// Model, image size, method, quantization, compute type and dataset, as one word a person can read:
// "deit_tiny_patch16_224/224/lora/nf4+dq/bfloat16/cifar10"; a mixture's quantization is "mixed-"
// and the beginning of its hash. Of a complete spec. What one run of a kind has measured predicts
// the next: by how much its peak differed from the estimate for its micro-batch, and how fast it
// went.
std::string RunKind(const v1::ExperimentSpec& complete_spec);

// Training images that a run goes through, all epochs together.
int64_t ImagesToTrain(const v1::ExperimentSpec& complete_spec);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_KIND_H_
