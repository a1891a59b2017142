// qctl keys: what a sweep file may say and what it means, from the rules that it is checked by.
#include <google/protobuf/struct.pb.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/spec/fields.h"
#include "common/spec/models.h"
#include "common/spec/names.h"
#include "common/status.h"
#include "common/wording.h"
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
  std::string path, standard, type, allowed, meaning;
  bool required = false;
};

std::vector<Key> AllKeys() {
  std::vector<Key> keys = {
      {"name", "the file's", "word", std::string(absl::StripPrefix(kSweepNameRule, "must be ")),
       "What the sweep is called; without it, as the file is, less its extension."},
      {"priority", "0", "whole number",
       absl::StrCat("at least -", kMaxPriority, " and at most ", kMaxPriority),
       "Higher goes first, and may stop runs of lower priority, which go on later."},
      {"matrix", "", "mapping", "KEY: [VALUE, ...]",
       "A run for every combination of the values; the first key varies slowest."},
      {"include", "", "list", "{KEY: VALUE, ...}", "One more run each."},
      {"exclude", "", "list", "{KEY: VALUE, ...}",
       "Combinations of the matrix that have all of these values are left out."},
  };
  for (const SpecField& field : SpecFields()) {
    keys.push_back({field.path, DefaultText(field), TypeText(*field.leaf), AllowedText(field),
                    field.rule->meaning(), field.rule->required()});
    if (field.path != "model.name") continue;
    keys.back().allowed =
        absl::StrJoin(KnownModels(), ", ",
                      [](std::string* out, const ModelShape& model) { out->append(model.name); });
  }
  return keys;
}

// Those named: a key, or the section it is in.
absl::StatusOr<std::vector<Key>> Chosen(const std::vector<std::string>& names) {
  std::vector<Key> chosen;
  for (const std::string& name : names) {
    const size_t before = chosen.size();
    std::vector<std::string> known = SectionNames();
    for (const Key& key : AllKeys()) {
      known.push_back(key.path);
      if (key.path == name || absl::StartsWith(key.path, name + ".")) chosen.push_back(key);
    }
    if (chosen.size() == before) {
      return absl::InvalidArgumentError(
          absl::StrCat("no key ", Quoted(name), DidYouMean(name, known)));
    }
  }
  return chosen;
}

void PrintKeysJson(const std::vector<Key>& listed) {
  google::protobuf::Struct document;
  auto* keys = (*document.mutable_fields())["keys"].mutable_list_value();
  for (const Key& key : listed) {
    auto& fields = *keys->add_values()->mutable_struct_value()->mutable_fields();
    fields["key"].set_string_value(key.path);
    if (!key.required) fields["default"].set_string_value(key.standard);
    fields["required"].set_bool_value(key.required);
    fields["type"].set_string_value(key.type);
    fields["allowed"].set_string_value(key.allowed);
    fields["meaning"].set_string_value(key.meaning);
  }
  PrintJson(document);
}

void PrintMeaning(const Key& key) {
  std::vector<std::string> facts = {key.type};
  if (!key.allowed.empty()) facts.push_back(key.allowed);
  if (key.required) facts.push_back("required");
  if (!key.standard.empty()) facts.push_back(absl::StrCat("default ", key.standard));
  PrintLine(absl::StrCat(OutStyle().Paint(Ink::kBold, key.path), ": ", absl::StrJoin(facts, "; ")));
  PrintLine(absl::StrCat("    ", key.meaning));
}

absl::StatusOr<int> Keys(const GlobalOptions& options, const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(const std::vector<Key> chosen, Chosen(names));
  if (options.json) {
    PrintKeysJson(names.empty() ? AllKeys() : chosen);
    return kExitGood;
  }
  for (const Key& key : chosen) PrintMeaning(key);
  if (!names.empty()) return kExitGood;
  Table table({{"key"}, {"default"}, {"type"}, {"allowed"}});
  for (const Key& key : AllKeys()) {
    table.AddRow({key.path, key.required ? "required" : key.standard, key.type, key.allowed});
  }
  PrintTable(table);
  return kExitGood;
}

}  // namespace

void AddKeys(CommandLine& line) {
  auto names = std::make_shared<std::vector<std::string>>();
  line.Add("keys", "list the keys of a sweep file: defaults, and what is allowed",
           [&options = line.options, names] { return Keys(options, *names); })
      .AddOption("KEY", names.get(), "say what it means: lora.rank, or all of lora");
}

}  // namespace qsweep::qctl
