#include "common/spec/patch.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/wording.h"

namespace qsweep {
namespace {

constexpr char kQuotedTag[] = "!";  // what yaml-cpp calls a scalar in quotes

// Empty: `node` was added to the field. Else what is wrong with it.
std::string AddScalar(const SpecField& field, const YAML::Node& node, v1::ExperimentSpec* values) {
  if (node.IsNull()) return "has no value; write one, or remove the key for the default";
  if (!node.IsScalar()) {
    return absl::StrCat("must be a single value", node.IsSequence() && !field.leaf->is_repeated()
                                                      ? "; to vary it, put it under matrix"
                                                      : "");
  }
  const bool text = field.leaf->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING;
  if (!text && node.Tag() == kQuotedTag) {
    return absl::StrCat("must not be in quotes: ", Quoted(node.Scalar()), " is text");
  }
  return std::string(AddText(field, node.Scalar(), values).message());
}

// {PATTERN: VALUE} as the elements PATTERN=VALUE.
std::string AddPairs(const SpecField& field, const YAML::Node& node, v1::ExperimentSpec* values) {
  for (const auto& entry : node) {
    if (!entry.first.IsScalar() || !entry.second.IsScalar()) {
      return "must give each pattern a single value";
    }
    const absl::Status added =
        AddText(field, absl::StrCat(entry.first.Scalar(), "=", entry.second.Scalar()), values);
    if (!added.ok()) return std::string(added.message());
  }
  return "";
}

std::string AddValue(const SpecField& field, const YAML::Node& node, v1::ExperimentSpec* values) {
  if (!field.leaf->is_repeated()) return AddScalar(field, node, values);
  if (node.IsMap() && field.rule->pairs()) return AddPairs(field, node, values);
  if (node.IsScalar()) return absl::StrCat("must be a list; write [", Shown(node.Scalar()), "]");
  if (!node.IsSequence()) return "must be a list";
  if (node.size() == 0 && !field.rule->default_value().empty()) {
    return absl::StrCat("must not be empty; remove the key for the default, ",
                        field.rule->default_value());
  }
  for (const YAML::Node& element : node) {
    std::string problem = AddScalar(field, element, values);
    if (!problem.empty()) return problem;
  }
  return "";
}

void ReadField(const SpecField& field, int line, const YAML::Node& node, Patch* patch,
               ProblemList* problems) {
  if (const Patch::Assignment* before = patch->Find(field)) {
    problems->Add(line, field.path,
                  absl::StrCat("already given on line ", before->line, "; remove one"));
    return;
  }
  std::string problem = AddValue(field, node, &patch->values);
  if (problem.empty()) problem = RuleViolation(patch->values, field);
  if (problem.empty()) {
    patch->assignments.push_back({&field, line});
  } else {
    ClearField(field, &patch->values);
    problems->Add(line, field.path, problem);
  }
}

}  // namespace

void Patch::ApplyTo(v1::ExperimentSpec* spec) const {
  for (const Assignment& assignment : assignments) ClearField(*assignment.field, spec);
  spec->MergeFrom(values);
}

bool Patch::Matches(const v1::ExperimentSpec& spec) const {
  return std::all_of(assignments.begin(), assignments.end(), [&](const Assignment& assignment) {
    return SameValue(spec, values, *assignment.field);
  });
}

const Patch::Assignment* Patch::Find(const SpecField& field) const {
  const auto it = std::find_if(assignments.begin(), assignments.end(),
                               [&field](const Assignment& a) { return a.field == &field; });
  return it == assignments.end() ? nullptr : &*it;
}

std::string Patch::Text() const {
  return absl::StrJoin(assignments, " ", [this](std::string* out, const Assignment& assignment) {
    absl::StrAppend(out, assignment.field->path, "=", ValueText(values, *assignment.field));
  });
}

void ReadEntry(const std::string& key, int line, const YAML::Node& value, Patch* patch,
               ProblemList* problems) {
  if (const SpecField* field = FindSpecField(key)) {
    ReadField(*field, line, value, patch, problems);
  } else if (!IsSection(key)) {
    problems->Add(line, Shown(key), UnknownKey(key));
  } else if (!value.IsMap()) {
    problems->Add(line, key, "must be a mapping of its fields");
  } else {
    for (const auto& entry : value) {
      const std::string path = absl::StrCat(key, ".", entry.first.Scalar());
      if (const SpecField* field = FindSpecField(path)) {
        ReadField(*field, LineOf(entry.first), entry.second, patch, problems);
      } else {
        problems->Add(LineOf(entry.first), Shown(path), UnknownKey(path));
      }
    }
  }
}

Patch ReadPatch(const YAML::Node& node, const std::string& path, ProblemList* problems) {
  Patch patch;
  if (!node.IsMap()) {
    problems->Add(LineOf(node), path, "must be a mapping, as {lora.rank: 32}");
    return patch;
  }
  for (const auto& entry : node) {
    ReadEntry(entry.first.Scalar(), LineOf(entry.first), entry.second, &patch, problems);
  }
  return patch;
}

std::string UnknownKey(const std::string& key, const std::vector<std::string>& also) {
  const size_t dot = key.find('.');
  const std::string section = dot == std::string::npos ? "" : key.substr(0, dot);
  const std::string name = dot == std::string::npos ? key : key.substr(dot + 1);
  std::vector<std::string> known;
  if (section.empty()) {
    known = also;
    known.insert(known.end(), SectionNames().begin(), SectionNames().end());
  }
  for (const SpecField& field : SpecFields()) {
    if (field.leaf->name() == name)
      return absl::StrCat("unknown key; did you mean ", field.path, "?");
    if (section == (field.section ? field.section->name() : ""))
      known.push_back(field.leaf->name());
  }
  if (known.empty())
    return absl::StrCat("unknown section", DidYouMeanOrKnown(section, SectionNames()));
  return absl::StrCat("unknown key", DidYouMeanOrKnown(name, known));
}

bool IsSection(const std::string& key) {
  return std::find(SectionNames().begin(), SectionNames().end(), key) != SectionNames().end();
}

}  // namespace qsweep
