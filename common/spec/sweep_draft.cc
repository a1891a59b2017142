#include "common/spec/sweep_draft.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/spec/names.h"
#include "common/wording.h"

namespace qsweep {
namespace {

void ReadName(const YAML::Node& node, SweepDraft* draft, ProblemList* problems) {
  if (node.IsScalar() && IsSweepName(node.Scalar())) {
    draft->name = node.Scalar();
  } else {
    problems->Add(LineOf(node), "name", kSweepNameRule);
  }
}

void ReadPriority(const YAML::Node& node, SweepDraft* draft, ProblemList* problems) {
  if (!node.IsScalar() || !absl::SimpleAtoi(node.Scalar(), &draft->priority) ||
      draft->priority < -kMaxPriority || draft->priority > kMaxPriority) {
    draft->priority = 0;
    problems->Add(
        LineOf(node), "priority",
        absl::StrCat("must be a whole number from -", kMaxPriority, " to ", kMaxPriority));
  }
}

void ReadAxis(const std::string& path, int line, const YAML::Node& node, SweepDraft* draft,
              ProblemList* problems) {
  if (FindSpecField(path) == nullptr && !IsSection(path)) {
    problems->Add(line, absl::StrCat("matrix.", Shown(path)), UnknownKey(path));
    return;
  }
  if (!node.IsSequence() || node.size() == 0) {
    problems->Add(line, absl::StrCat("matrix.", path),
                  node.IsMap()
                      ? absl::StrCat("must be a list of alternatives; for one field write ", path,
                                     ".FIELD: [...]")
                      : "must be a list of alternatives, one at least");
    return;
  }
  SweepDraft::Axis axis{path, line, {}};
  for (const YAML::Node& alternative : node) {
    Patch patch;
    ReadEntry(path, LineOf(alternative), alternative, &patch, problems);
    axis.alternatives.push_back(std::move(patch));
  }
  draft->axes.push_back(std::move(axis));
}

void ReadMatrix(const YAML::Node& node, SweepDraft* draft, ProblemList* problems) {
  if (!node.IsMap() || node.size() == 0) {
    problems->Add(LineOf(node), "matrix", "must be a mapping of axes, as lora.rank: [4, 8]");
    return;
  }
  for (const auto& entry : node) {
    ReadAxis(entry.first.Scalar(), LineOf(entry.first), entry.second, draft, problems);
  }
  absl::flat_hash_map<const SpecField*, const SweepDraft::Axis*> owner;
  for (const SweepDraft::Axis& axis : draft->axes) {
    for (const Patch& patch : axis.alternatives) {
      for (const Patch::Assignment& assignment : patch.assignments) {
        const SweepDraft::Axis* first = owner.emplace(assignment.field, &axis).first->second;
        if (first == &axis) continue;
        problems->Add(assignment.line, assignment.field->path,
                      absl::StrCat("is set by the axis ", first->path, " of line ", first->line,
                                   " too; one axis may set a field"));
      }
    }
  }
}

bool IsPatchList(const YAML::Node& node, const std::string& key, ProblemList* problems) {
  if (node.IsSequence() && node.size() > 0) return true;
  problems->Add(LineOf(node), key, "must be a list of mappings, as [{lora.rank: 32}]");
  return false;
}

void ReadExcludes(const YAML::Node& node, SweepDraft* draft, ProblemList* problems) {
  if (!IsPatchList(node, "exclude", problems)) return;
  for (const YAML::Node& element : node) {
    draft->excludes.push_back({LineOf(element), ReadPatch(element, "exclude", problems)});
    if (element.IsMap() && element.size() == 0)
      problems->Add(LineOf(element), "exclude", "would drop every cell");
  }
}

void ReadIncludes(const YAML::Node& node, SweepDraft* draft, ProblemList* problems) {
  if (!IsPatchList(node, "include", problems)) return;
  for (const YAML::Node& element : node)
    draft->includes.push_back(ReadPatch(element, "include", problems));
}

}  // namespace

SweepDraft ReadSweepDraft(const YAML::Node& root, const std::string& default_name,
                          ProblemList* problems) {
  SweepDraft draft;
  draft.name = default_name;
  for (const auto& entry : root) {
    const std::string& key = entry.first.Scalar();
    const int line = LineOf(entry.first);
    if (key == "name") {
      ReadName(entry.second, &draft, problems);
    } else if (key == "priority") {
      ReadPriority(entry.second, &draft, problems);
    } else if (key == "matrix") {
      ReadMatrix(entry.second, &draft, problems);
    } else if (key == "exclude") {
      ReadExcludes(entry.second, &draft, problems);
    } else if (key == "include") {
      ReadIncludes(entry.second, &draft, problems);
    } else if (FindSpecField(key) != nullptr || IsSection(key)) {
      ReadEntry(key, line, entry.second, &draft.base, problems);
    } else {
      problems->Add(line, Shown(key),
                    UnknownKey(key, {"name", "priority", "matrix", "include", "exclude"}));
    }
  }
  return draft;
}

std::string SweepNameOfFile(const std::string& file_name) {
  std::string name = std::filesystem::path(file_name).stem().string().substr(0, kMaxSweepNameBytes);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !IsNameCharacter(c); }, '-');
  return IsSweepName(name) ? name : absl::StrCat("sweep-", name).substr(0, kMaxSweepNameBytes);
}

}  // namespace qsweep
