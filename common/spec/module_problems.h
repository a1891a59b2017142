// For Problems(): what a spec says of a model's modules.
#ifndef QSWEEP_COMMON_SPEC_MODULE_PROBLEMS_H_
#define QSWEEP_COMMON_SPEC_MODULE_PROBLEMS_H_

#include <vector>

#include "common/spec/models.h"
#include "common/spec/spec.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

// Adds what is wrong with `lora` (if it is the method) and `quantization` for this model.
void CheckModules(const v1::ExperimentSpec& spec, const ModelShape& shape,
                  std::vector<SpecProblem>* problems);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_MODULE_PROBLEMS_H_
