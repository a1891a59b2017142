// qctl keys: what a sweep file may say, from the rules that it is checked by.
#include <string>

#include "absl/strings/str_cat.h"
#include "common/spec/fields.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

std::string TypeText(const google::protobuf::FieldDescriptor& leaf) {
  using Descriptor = google::protobuf::FieldDescriptor;
  const bool list = leaf.is_repeated();
  switch (leaf.cpp_type()) {
    case Descriptor::CPPTYPE_BOOL:
      return "true or false";
    case Descriptor::CPPTYPE_DOUBLE:
    case Descriptor::CPPTYPE_FLOAT:
      return list ? "numbers" : "number";
    case Descriptor::CPPTYPE_STRING:
      return list ? "words" : "word";
    default:
      return list ? "whole numbers" : "whole number";
  }
}

absl::StatusOr<int> Keys() {
  Table table({{"key"}, {"default"}, {"type"}, {"allowed"}});
  for (const SpecField& field : SpecFields()) {
    const std::string& otherwise = field.rule->default_value();
    table.AddRow({field.path,
                  field.rule->required()
                      ? "required"
                      : (field.leaf->is_repeated() ? absl::StrCat("[", otherwise, "]") : otherwise),
                  TypeText(*field.leaf), AllowedText(field)});
  }
  PrintTable(table);
  return kExitGood;
}

}  // namespace

void AddKeys(CommandLine& line) {
  line.Add("keys", "list the keys of a sweep file, with what each is if it is not named", Keys);
}

}  // namespace qsweep::qctl
