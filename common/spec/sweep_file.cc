#include "common/spec/sweep_file.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/spec/cell_names.h"
#include "common/spec/fields.h"
#include "common/spec/names.h"
#include "common/spec/spec.h"
#include "common/spec/sweep_draft.h"
#include "common/spec/yaml_document.h"
#include "common/status.h"

namespace qsweep {
namespace {

// The patches that make one cell from the base, in the order of application.
using Recipe = std::vector<const Patch*>;

std::string Text(const Recipe& recipe) {
  return absl::StrJoin(recipe, " ",
                       [](std::string* out, const Patch* patch) { out->append(patch->Text()); });
}

v1::ExperimentSpec Apply(const Recipe& recipe, const v1::ExperimentSpec& base) {
  v1::ExperimentSpec spec = base;
  for (const Patch* patch : recipe) patch->ApplyTo(&spec);
  return spec;
}

// Every combination of the axes' alternatives, the first axis slowest.
std::vector<Recipe> Product(const std::vector<SweepDraft::Axis>& axes) {
  std::vector<Recipe> product = {{}};
  for (const SweepDraft::Axis& axis : axes) {
    std::vector<Recipe> longer;
    longer.reserve(product.size() * axis.alternatives.size());
    for (const Recipe& recipe : product) {
      for (const Patch& alternative : axis.alternatives) {
        longer.push_back(recipe);
        longer.back().push_back(&alternative);
      }
    }
    product = std::move(longer);
  }
  return product;
}

// Turns a draft into cells; everything wrong with them goes to the problem list.
class Expansion {
 public:
  Expansion(const SweepDraft& draft, ProblemList* problems) : draft_(draft), problems_(problems) {
    base_ = DefaultSpec();
    draft.base.ApplyTo(&base_);
    for (const SpecProblem& problem : Problems(base_)) base_problems_.insert(Key(problem));
  }

  std::vector<SweepPlan::Cell> Run() {
    const bool file_is_sound = problems_->empty();
    if (TooMany()) return {};
    MakeRecipes(file_is_sound);
    for (const Recipe& recipe : recipes_) AddCell(recipe);
    NameCells(&cells_);
    ReportLongNames();
    ReportSpecProblems();
    if (file_is_sound) ReportDuplicates();
    return std::move(cells_);
  }

 private:
  // Equal problems of several cells are told once.
  struct Shared {
    int line;
    SpecProblem problem;
    size_t first_cell;
    size_t cells = 0;
  };

  static std::string Key(const SpecProblem& problem) {
    return absl::StrCat(problem.path, ": ", problem.message);
  }

  bool TooMany() {
    int64_t cells = 1;
    for (const SweepDraft::Axis& axis : draft_.axes) {
      cells *= static_cast<int64_t>(axis.alternatives.size());
      if (cells <= kMaxCells) continue;
      problems_->Add(axis.line, absl::StrCat("matrix.", axis.path),
                     absl::StrCat("with this axis there are ", cells, " cells or more; at most ",
                                  kMaxCells, " are allowed"));
      return true;
    }
    return false;
  }

  static constexpr int64_t kMaxComparisons = 100'000'000;  // of cells with exclusions: seconds

  void MakeRecipes(bool file_is_sound) {
    if (!draft_.axes.empty() || draft_.includes.empty()) recipes_ = Product(draft_.axes);
    DropExcluded(file_is_sound);
    for (const Patch& include : draft_.includes) recipes_.push_back({&include});
    if (file_is_sound && recipes_.empty()) {
      problems_->Add(draft_.excludes.empty() ? 1 : draft_.excludes[0].line, "exclude",
                     "drops every cell; none is left to run");
    }
    if (static_cast<int64_t>(recipes_.size()) > kMaxCells) {
      problems_->Add(
          1, "include",
          absl::StrCat("makes ", recipes_.size(), " cells; at most ", kMaxCells, " are allowed"));
      recipes_.clear();
    }
  }

  void DropExcluded(bool file_is_sound) {
    if (draft_.excludes.empty()) return;
    const auto cells = static_cast<int64_t>(recipes_.size());
    if (const auto excludes = static_cast<int64_t>(draft_.excludes.size());
        cells * excludes > kMaxComparisons) {
      problems_->Add(draft_.excludes[0].line, "exclude",
                     absl::StrCat(excludes, " entries for ", cells, " cells; their product may be ",
                                  kMaxComparisons, " at most"));
      return;
    }
    absl::flat_hash_set<const SweepDraft::Exclude*> used;
    std::vector<Recipe> kept;
    for (Recipe& recipe : recipes_) {
      const v1::ExperimentSpec spec = Apply(recipe, base_);
      bool drop = false;
      for (const SweepDraft::Exclude& exclude : draft_.excludes) {
        if (!exclude.patch.Matches(spec)) continue;
        drop = true;
        used.insert(&exclude);
      }
      if (!drop) kept.push_back(std::move(recipe));
    }
    recipes_ = std::move(kept);
    for (const SweepDraft::Exclude& exclude : draft_.excludes) {
      if (!file_is_sound || used.contains(&exclude)) continue;
      problems_->Add(exclude.line, "exclude",
                     absl::StrCat(exclude.patch.Text(),
                                  " matches no cell of the matrix; correct or remove it"));
    }
  }

  void AddCell(const Recipe& recipe) {
    const v1::ExperimentSpec spec = Apply(recipe, base_);
    for (SpecProblem& problem : Problems(spec)) NoteProblem(recipe, spec, std::move(problem));
    cells_.push_back({"", Normalized(spec), ""});
  }

  void NoteProblem(const Recipe& recipe, const v1::ExperimentSpec& spec, SpecProblem problem) {
    const SpecField& field = *FindSpecField(problem.path);
    // What the file tried to say about the field was wrong and has been told.
    if (problems_->Concerns(field.path)) return;
    if (!IsSet(spec, field) && field.section && problems_->ConcernsSection(field.section->name()))
      return;
    const int line = LineFor(recipe, field, problem);
    const auto [it, fresh] =
        shared_index_.emplace(absl::StrCat(line, ":", Key(problem)), shared_.size());
    if (fresh) shared_.push_back({line, std::move(problem), cells_.size()});
    ++shared_[it->second].cells;
  }

  // Where the value stands; or what of the matrix touched its section; or the first axis.
  int LineFor(const Recipe& recipe, const SpecField& field, const SpecProblem& problem) const {
    for (const Patch* patch : recipe) {
      if (const Patch::Assignment* assignment = patch->Find(field)) return assignment->line;
    }
    const Patch::Assignment* in_base = draft_.base.Find(field);
    if (in_base && base_problems_.contains(Key(problem))) return in_base->line;
    for (const Patch* patch : recipe) {
      for (const Patch::Assignment& assignment : patch->assignments) {
        if (field.section && assignment.field->section == field.section) return assignment.line;
      }
    }
    if (in_base) return in_base->line;
    for (const Patch::Assignment& assignment : draft_.base.assignments) {
      if (field.section && assignment.field->section == field.section) return assignment.line;
    }
    return draft_.axes.empty() ? 1 : draft_.axes.front().line;
  }

  // A name grows with the fields that tell the cells apart.
  void ReportLongNames() {
    const auto longer = [](const SweepPlan::Cell& a, const SweepPlan::Cell& b) {
      return a.name.size() < b.name.size();
    };
    const auto longest = std::max_element(cells_.begin(), cells_.end(), longer);
    if (longest == cells_.end() || longest->name.size() <= kMaxRunNameBytes) return;
    problems_->Add(draft_.axes.empty() ? 1 : draft_.axes.front().line, "",
                   absl::StrCat("so many fields tell the runs apart that a name would have ",
                                longest->name.size(), " bytes, and ", kMaxRunNameBytes,
                                " are the most: ", longest->name, "; make several sweeps of it"));
  }

  void ReportSpecProblems() {
    for (const Shared& shared : shared_) {
      const std::string& name = cells_[shared.first_cell].name;
      problems_->Add(shared.line, shared.problem.path,
                     cells_.size() == 1 ? shared.problem.message
                     : shared.cells == 1
                         ? absl::StrCat(shared.problem.message, " (in cell ", name, ")")
                         : absl::StrCat(shared.problem.message, " (in ", shared.cells,
                                        " cells, first ", name, ")"));
    }
  }

  void ReportDuplicates() {
    absl::flat_hash_map<std::string, size_t> first;
    first.reserve(cells_.size());
    // Two equal alternatives of an axis make many equal pairs: they are told once.
    struct Twins {
      size_t a, b, pairs;
    };
    std::map<std::pair<const Patch*, const Patch*>, Twins> twins;
    for (size_t i = 0; i < cells_.size(); ++i) {
      cells_[i].key = RunKey(cells_[i].spec);
      const auto [it, fresh] = first.emplace(cells_[i].key, i);
      if (fresh) continue;
      ++twins.emplace(LastDifference(it->second, i), Twins{it->second, i, 0}).first->second.pairs;
    }
    for (const auto& [patches, t] : twins) {
      const bool placed = patches.second && !patches.second->assignments.empty();
      problems_->Add(
          placed ? patches.second->assignments.front().line : 1, "",
          absl::StrCat("cells ", t.a + 1, " (", Text(recipes_[t.a]), ") and ", t.b + 1, " (",
                       Text(recipes_[t.b]), ") are the same run, ", cells_[t.b].name,
                       t.pairs > 1 ? absl::StrCat(", as are ", t.pairs - 1, " pairs more") : "",
                       "; remove one"));
    }
  }

  // The last patch in which two recipes are not the same.
  std::pair<const Patch*, const Patch*> LastDifference(size_t a, size_t b) const {
    const Recipe& x = recipes_[a];
    const Recipe& y = recipes_[b];
    for (size_t i = std::min(x.size(), y.size()); i-- > 0;) {
      if (x[i] != y[i]) return {x[i], y[i]};
    }
    return {nullptr, y.empty() ? nullptr : y.back()};
  }

  const SweepDraft& draft_;
  ProblemList* problems_;
  v1::ExperimentSpec base_;  // with defaults
  absl::flat_hash_set<std::string> base_problems_;
  std::vector<Recipe> recipes_;
  std::vector<SweepPlan::Cell> cells_;
  std::vector<Shared> shared_;
  absl::flat_hash_map<std::string, size_t> shared_index_;
};

}  // namespace

absl::StatusOr<SweepPlan> ParseSweep(const std::string& yaml, const std::string& file_name) {
  if (static_cast<int64_t>(yaml.size()) > kMaxSweepFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ": larger than ", kMaxSweepFileBytes, " bytes"));
  }
  ASSIGN_OR_RETURN(const YAML::Node root, ParseYamlMapping(yaml, file_name));
  ProblemList problems(file_name);
  const SweepDraft draft = ReadSweepDraft(root, SweepNameOfFile(file_name), &problems);
  SweepPlan plan{draft.name, draft.priority, yaml, Expansion(draft, &problems).Run()};
  RETURN_IF_ERROR(problems.ToStatus());
  return plan;
}

absl::StatusOr<SweepPlan> LoadSweepFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string yaml, ReadFile(path, kMaxSweepFileBytes));
  return ParseSweep(yaml, path);
}

}  // namespace qsweep
