// qctl keys: what a sweep file may say, from the rules that it is checked by. (What the keys mean
// say the comments in proto/qsweep/v1/spec.proto, which is installed with the documentation.)
#include <google/protobuf/struct.pb.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/spec/fields.h"
#include "common/spec/models.h"
#include "common/spec/names.h"
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
  const std::string& text = field.rule->default_value();
  return field.leaf->is_repeated() ? absl::StrCat("[", text, "]") : text;
}

struct Key {
  std::string path, standard, type, allowed;
  bool required = false;
};

std::vector<Key> AllKeys() {
  std::vector<Key> keys = {
      {"name", "the file's", "word", std::string(absl::StripPrefix(kSweepNameRule, "must be "))},
      {"priority", "0", "whole number",
       absl::StrCat("at least -", kMaxPriority, " and at most ", kMaxPriority)},
      {"matrix", "", "mapping", "KEY: [VALUE, ...], a run for every combination"},
      {"include", "", "list", "{KEY: VALUE, ...}, one more run each"},
      {"exclude", "", "list", "{KEY: VALUE, ...}, runs of the matrix to leave out"},
  };
  for (const SpecField& field : SpecFields()) {
    keys.push_back({field.path, DefaultText(field), TypeText(*field.leaf), AllowedText(field),
                    field.rule->required()});
    if (field.path != "model.name") continue;
    keys.back().allowed =
        absl::StrJoin(KnownModels(), ", ",
                      [](std::string* out, const ModelShape& model) { out->append(model.name); });
  }
  return keys;
}

void PrintKeysJson() {
  google::protobuf::Struct document;
  auto* keys = (*document.mutable_fields())["keys"].mutable_list_value();
  for (const Key& key : AllKeys()) {
    auto& fields = *keys->add_values()->mutable_struct_value()->mutable_fields();
    fields["key"].set_string_value(key.path);
    if (!key.required) fields["default"].set_string_value(key.standard);
    fields["required"].set_bool_value(key.required);
    fields["type"].set_string_value(key.type);
    fields["allowed"].set_string_value(key.allowed);
  }
  PrintJson(document);
}

absl::StatusOr<int> Keys(const GlobalOptions& options) {
  if (options.json) {
    PrintKeysJson();
    return kExitGood;
  }
  Table table({{"key"}, {"default"}, {"type"}, {"allowed"}});
  for (const Key& key : AllKeys()) {
    table.AddRow({key.path, key.required ? "required" : key.standard, key.type, key.allowed});
  }
  PrintTable(table);
  return kExitGood;
}

}  // namespace

void AddKeys(CommandLine& line) {
  line.Add("keys", "list the keys of a sweep file: defaults, and what is allowed",
           [&options = line.options] { return Keys(options); });
}

}  // namespace qsweep::qctl
