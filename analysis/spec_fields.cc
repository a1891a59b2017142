#include "analysis/spec_fields.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace qsweep {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string ValueText(const Message& message, const FieldDescriptor* field, int index) {
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, field, index, &text);
  return std::string(absl::StripSuffix(absl::StripPrefix(text, "\""), "\""));
}

void AddFields(const Message& message, const std::string& prefix, std::vector<SpecField>* out) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = absl::StrCat(prefix, field->name());
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      AddFields(reflection.GetMessage(message, field), absl::StrCat(path, "."), out);
      continue;
    }
    std::vector<std::string> values;
    if (!field->is_repeated()) values.push_back(ValueText(message, field, -1));
    for (int i = 0; field->is_repeated() && i < reflection.FieldSize(message, field); ++i) {
      values.push_back(ValueText(message, field, i));
    }
    out->push_back({path, absl::StrJoin(values, "+")});
  }
}

}  // namespace

std::vector<SpecField> SpecFields(const v1::ExperimentSpec& spec) {
  std::vector<SpecField> fields;
  AddFields(spec, "", &fields);
  return fields;
}

}  // namespace qsweep
