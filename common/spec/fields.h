// ExperimentSpec by reflection: its fields as one flat list, each with the rule written beside it
// in the .proto. The spec is two levels deep: sections of scalars and lists, and `seed`.
#ifndef QSWEEP_COMMON_SPEC_FIELDS_H_
#define QSWEEP_COMMON_SPEC_FIELDS_H_

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "qsweep/v1/rules.pb.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

struct SpecField {
  const google::protobuf::FieldDescriptor* section;  // nullptr: a field of the spec itself
  const google::protobuf::FieldDescriptor* leaf;
  const v1::FieldRule* rule;
  std::string path;  // lora.rank
};

// In the order of the .proto, which is the order of everything that is shown.
const std::vector<SpecField>& SpecFields();
// nullptr: no such field.
const SpecField* FindSpecField(absl::string_view path);
// model, dataset, ...
const std::vector<std::string>& SectionNames();

// Text is the spec's own and lives as long as it is not changed.
using FieldValue = std::variant<bool, int64_t, double, absl::string_view>;

// One value for a scalar (its zero if unset), any number for a list.
std::vector<FieldValue> Values(const v1::ExperimentSpec& spec, const SpecField& field);
// A list is set when it is not empty.
bool IsSet(const v1::ExperimentSpec& spec, const SpecField& field);
bool SameValue(const v1::ExperimentSpec& a, const v1::ExperimentSpec& b, const SpecField& field);
// As one would write it in YAML: 8, 1e-04, nf4, [qkv, proj].
std::string ValueText(const v1::ExperimentSpec& spec, const SpecField& field);
// As JSON, numbers as numbers; a double has the fewest digits that read back as the same one.
std::string ValueJson(const v1::ExperimentSpec& spec, const SpecField& field);

void ClearField(const SpecField& field, v1::ExperimentSpec* spec);
// Parses `text` as the field's type and sets the scalar or appends to the list. InvalidArgument
// says what it must be; ranges are not looked at.
absl::Status AddText(const SpecField& field, absl::string_view text, v1::ExperimentSpec* spec);

// What the field may be, as "0, 4, 8, auto" or "above 0 and at most 100"; empty: any of its type.
std::string AllowedText(const SpecField& field);

// What the field's rule says against its value; empty: nothing. Does not ask whether it is
// required.
std::string RuleViolation(const v1::ExperimentSpec& spec, const SpecField& field);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_FIELDS_H_
