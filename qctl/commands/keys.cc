// qctl keys: what a sweep file may say, from the rules that it is checked by.
#include <google/protobuf/struct.pb.h>

#include <string>
#include <vector>

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

std::string DefaultText(const SpecField& field) {
  if (field.rule->required()) return "required";
  const std::string& text = field.rule->default_value();
  return field.leaf->is_repeated() ? absl::StrCat("[", text, "]") : text;
}

absl::StatusOr<int> Keys(const GlobalOptions& options) {
  const std::vector<std::string> titles = {"key", "default", "type", "allowed"};
  google::protobuf::Struct document;
  auto* keys = (*document.mutable_fields())["keys"].mutable_list_value();
  Table table({{titles[0]}, {titles[1]}, {titles[2]}, {titles[3]}});
  for (const SpecField& field : SpecFields()) {
    const std::vector<std::string> row = {field.path, DefaultText(field), TypeText(*field.leaf),
                                          AllowedText(field)};
    table.AddRow({row[0], row[1], row[2], row[3]});
    auto& fields = *keys->add_values()->mutable_struct_value()->mutable_fields();
    for (size_t i = 0; i < row.size(); ++i) fields[titles[i]].set_string_value(row[i]);
  }
  if (options.json) {
    PrintJson(document);
  } else {
    PrintTable(table);
  }
  return kExitGood;
}

}  // namespace

void AddKeys(CommandLine& line) {
  line.Add("keys", "list the keys of a sweep file: defaults, and what is allowed",
           [&options = line.options] { return Keys(options); });
}

}  // namespace qsweep::qctl
