// Some fields of a spec with their values and the lines they are written on: what a spec, an axis's
// alternative, an `include` and an `exclude` all are.
#ifndef QSWEEP_COMMON_SPEC_PATCH_H_
#define QSWEEP_COMMON_SPEC_PATCH_H_

#include <string>
#include <vector>

#include "common/spec/fields.h"
#include "common/spec/yaml_document.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

struct Patch {
  struct Assignment {
    const SpecField* field;
    int line;
  };
  v1::ExperimentSpec values;
  std::vector<Assignment> assignments;  // may give a list no element

  void ApplyTo(v1::ExperimentSpec* spec) const;
  // Whether `spec` has all these values.
  bool Matches(const v1::ExperimentSpec& spec) const;
  const Assignment* Find(const SpecField& field) const;
  // "lora.rank=4 lora.alpha=8"
  std::string Text() const;
};

// Reads `key: value`, where key is a section or a dotted field, into `patch`. Values are checked
// against their rules; what is wrong goes to `problems` and not into the patch.
void ReadEntry(const std::string& key, int line, const YAML::Node& value, Patch* patch,
               ProblemList* problems);
// All entries of a mapping.
Patch ReadPatch(const YAML::Node& node, const std::string& path, ProblemList* problems);

// "unknown key; did you mean rank?" for a key (dotted if within a section) that is neither a field
// nor a section; `also` are keys that would have done beside these.
std::string UnknownKey(const std::string& key, const std::vector<std::string>& also = {});
bool IsSection(const std::string& key);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_PATCH_H_
