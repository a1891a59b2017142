// A spec as a list of fields, for people.
#ifndef QSWEEP_ANALYSIS_SPEC_FIELDS_H_
#define QSWEEP_ANALYSIS_SPEC_FIELDS_H_

#include <string>
#include <vector>

#include "qsweep/v1/spec.pb.h"

namespace qsweep {

struct SpecField {
  std::string path;   // lora.target_modules
  std::string value;  // qkv+fc1; of a list the elements, joined by +
};

// Every field that is set, in the order of the .proto file.
std::vector<SpecField> SpecFields(const v1::ExperimentSpec& spec);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_SPEC_FIELDS_H_
