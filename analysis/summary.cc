#include "analysis/summary.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "analysis/statistics.h"
#include "common/spec/fields.h"
#include "common/spec/pairs.h"

namespace qsweep {
namespace {

// What a table says of a configuration in columns of its own, beside the quantization's label.
using Columns = std::vector<const char*>;
const Columns& GroupColumns() {
  static const auto& columns =
      *new Columns{"model.name", "dataset.name", "training.method", "lora.rank"};
  return columns;
}
const Columns& ScopeColumns() {
  static const auto& columns = *new Columns{"model.name", "dataset.name"};
  return columns;
}

std::string ColumnsText(const v1::ExperimentSpec& spec, const Columns& columns) {
  std::string text = QuantizationLabel(spec.quantization());
  for (const char* path : columns) {
    absl::StrAppend(&text, "\n", ValueText(spec, *FindSpecField(path)));
  }
  return text;
}

// Whether a field means anything where the spec has it. What is computed in does, quantized or not.
bool HasEffect(absl::string_view path, const v1::ExperimentSpec& spec) {
  const std::string& method = spec.training().method();
  if (absl::StartsWith(path, "lora.")) return method.empty() || method == "lora";
  if (path == "quantization.blocksize") return MayUseFourBits(spec);
  return !absl::StartsWith(path, "quantization.") || path == "quantization.compute_dtype" ||
         Quantizes(spec.quantization());
}

template <typename Get>
v1::Statistic Over(const std::vector<const v1::RunResult*>& results, Get get) {
  std::vector<double> values;
  for (const v1::RunResult* result : results) values.push_back(static_cast<double>(get(*result)));
  return Describe(values);
}

v1::GroupSummary Summarize(const Group& group, const std::vector<RunFacts>& runs) {
  v1::GroupSummary summary;
  summary.set_model(group.spec.model().name());
  summary.set_dataset(group.spec.dataset().name());
  summary.set_method(group.spec.training().method());
  if (summary.method() == "lora") summary.set_rank(group.spec.lora().rank());
  summary.set_quantization(QuantizationLabel(group.spec.quantization()));
  summary.set_planned(static_cast<int32_t>(group.runs.size()));
  std::vector<const v1::RunResult*> results;
  for (const size_t i : group.runs) {
    if (runs[i].result.has_value()) results.push_back(&*runs[i].result);
  }
  *summary.mutable_top1() = Over(results, [](const auto& r) { return r.best().top1(); });
  *summary.mutable_top5() = Over(results, [](const auto& r) { return r.best().top5(); });
  *summary.mutable_macro_f1() = Over(results, [](const auto& r) { return r.best().macro_f1(); });
  *summary.mutable_loss() = Over(results, [](const auto& r) { return r.best().loss(); });
  *summary.mutable_train_seconds() = Over(results, [](const auto& r) { return r.train_seconds(); });
  if (results.empty()) return summary;
  const auto mean = [&results](auto get) { return Over(results, get).mean(); };
  const double before = mean([](const auto& r) { return r.quantization().bytes_before(); });
  summary.set_weights_bytes(mean([](const auto& r) { return r.quantization().bytes_after(); }));
  if (before > 0) summary.set_weights_reduction(1 - summary.weights_bytes() / before);
  summary.set_peak_bytes(mean([](const auto& r) { return r.memory().peak_bytes(); }));
  summary.set_images_per_s(mean([](const auto& r) { return r.images_per_s(); }));
  summary.set_trainable_parameters(mean([](const auto& r) { return r.trainable_parameters(); }));
  return summary;
}

// What varies among the groups, so that no two have the same label.
void LabelGroups(std::vector<Group>* groups) {
  std::vector<std::vector<std::string>> parts(groups->size());
  for (const GroupTrait& trait : GroupTraits()) {
    const bool varies = std::any_of(groups->begin(), groups->end(), [&](const Group& group) {
      return trait.text(group.summary) != trait.text(groups->front().summary);
    });
    for (size_t i = 0; varies && i < groups->size(); ++i) {
      const std::string text = trait.text((*groups)[i].summary);
      if (!text.empty()) parts[i].push_back(text);
    }
  }
  for (size_t i = 0; i < groups->size(); ++i) {
    v1::GroupSummary& summary = (*groups)[i].summary;
    parts[i].push_back(summary.quantization());
    if (!summary.differs().empty()) parts[i].push_back(summary.differs());
    summary.set_label(absl::StrJoin(parts[i], " "));
  }
}

// Over the ways of computing that the group shares with its unquantized twin.
void AddPeakReduction(const Group& twin, const std::vector<RunFacts>& runs, Group* group) {
  const std::map<std::string, double> base = Peaks(twin, runs), own = Peaks(*group, runs);
  std::vector<double> reductions;
  for (const auto& [how, peak] : own) {
    const auto same = base.find(how);
    if (same != base.end()) reductions.push_back(1 - peak / std::max(1.0, same->second));
  }
  if (!reductions.empty()) {
    group->summary.set_peak_reduction(Describe(reductions).mean());
  } else if (!own.empty() && !base.empty()) {
    group->summary.set_note(absl::StrCat("peak not compared: computed with ", own.begin()->first,
                                         "; unquantized with ", base.begin()->first));
  }
}

void AddPeakReductions(const std::vector<RunFacts>& runs, std::vector<Group>* groups) {
  absl::flat_hash_map<std::string, const Group*> unquantized;
  for (const Group& group : *groups) {
    if (!Quantizes(group.spec.quantization())) unquantized.emplace(TwinKey(group.spec), &group);
  }
  for (Group& group : *groups) {
    const auto twin = unquantized.find(TwinKey(group.spec));
    if (!Quantizes(group.spec.quantization()) || twin == unquantized.end()) continue;
    AddPeakReduction(*twin->second, runs, &group);
  }
}

std::vector<std::string> DifferencesBut(const Columns& told,
                                        const std::vector<v1::ExperimentSpec>& specs) {
  std::vector<std::map<std::string, std::string>> flat(specs.size());
  std::vector<std::string> columns;
  for (const v1::ExperimentSpec& spec : specs) columns.push_back(ColumnsText(spec, told));
  std::map<std::string, std::set<std::string>> values;  // by path; "" where a spec lacks it
  for (size_t i = 0; i < specs.size(); ++i) {
    for (const SpecField& field : SpecFields()) {
      if (!IsSet(specs[i], field)) continue;
      values[field.path];
      flat[i][field.path] = ValueText(specs[i], field);
    }
  }
  for (auto& [path, seen] : values) {
    for (auto& fields : flat) seen.insert(fields[path]);
  }
  // A value that follows from the columns (alpha = 2 rank, bits from the label) tells nothing more.
  const auto follows = [&](const std::string& path) {
    std::map<std::string, std::string> by_columns;
    for (size_t i = 0; i < specs.size(); ++i) {
      const std::string& value = flat[i][path];
      if (by_columns.emplace(columns[i], value).first->second != value) return false;
    }
    return true;
  };
  const auto has_column = [&told](const std::string& path) {
    return std::find(told.begin(), told.end(), path) != told.end();
  };
  std::vector<std::vector<std::string>> parts(specs.size());
  for (const auto& [path, seen] : values) {
    if (seen.size() < 2 || has_column(path) || follows(path)) continue;
    for (size_t i = 0; i < specs.size(); ++i) {
      if (HasEffect(path, specs[i])) parts[i].push_back(absl::StrCat(path, "=", flat[i][path]));
    }
  }
  std::vector<std::string> differences;
  for (const auto& part : parts) differences.push_back(absl::StrJoin(part, ", "));
  return differences;
}

}  // namespace

const std::vector<GroupTrait>& GroupTraits() {
  static const auto& traits = *new std::vector<GroupTrait>{
      {"model", [](const v1::GroupSummary& g) { return g.model(); }},
      {"dataset", [](const v1::GroupSummary& g) { return g.dataset(); }},
      {"method", [](const v1::GroupSummary& g) { return g.method(); }},
      {"rank",
       [](const v1::GroupSummary& g) { return g.rank() > 0 ? absl::StrCat("r", g.rank()) : ""; }}};
  return traits;
}

v1::Dataset Task(const v1::Dataset& dataset) {
  v1::Dataset task;
  task.set_name(dataset.name());
  *task.mutable_classes() = dataset.classes();
  if (!dataset.path().empty()) task.set_path(dataset.path());
  return task;
}

std::string WithoutSections(const std::string& differs) {
  std::vector<absl::string_view> parts = absl::StrSplit(differs, ", ");
  for (absl::string_view& part : parts) {
    const absl::string_view path = part.substr(0, part.find('='));
    if (FindSpecField(path) != nullptr) part.remove_prefix(path.rfind('.') + 1);  // npos + 1 is 0
  }
  return absl::StrJoin(parts, ", ");
}

std::vector<std::string> Differences(const std::vector<v1::ExperimentSpec>& specs) {
  return DifferencesBut(GroupColumns(), specs);
}

std::vector<std::string> ScopeDifferences(const std::vector<v1::ExperimentSpec>& scopes) {
  return DifferencesBut(ScopeColumns(), scopes);
}

std::vector<std::string> QuantizationNames(const std::vector<v1::ExperimentSpec>& scopes) {
  std::map<std::string, std::vector<size_t>> alike;
  for (size_t i = 0; i < scopes.size(); ++i)
    alike[ColumnsText(scopes[i], ScopeColumns())].push_back(i);
  std::vector<std::string> names(scopes.size());
  for (const auto& [columns, members] : alike) {
    std::vector<v1::ExperimentSpec> specs;
    for (const size_t i : members) specs.push_back(scopes[i]);
    const std::vector<std::string> differs = ScopeDifferences(specs);
    for (size_t k = 0; k < members.size(); ++k) {
      std::string& name = names[members[k]];
      name = QuantizationLabel(specs[k].quantization());
      if (!differs[k].empty()) absl::StrAppend(&name, " (", WithoutSections(differs[k]), ")");
    }
  }
  return names;
}

std::map<std::string, double> Peaks(const Group& group, const std::vector<RunFacts>& runs) {
  std::map<std::string, std::vector<double>> bytes;
  for (const size_t i : group.runs) {
    if (!runs[i].result.has_value()) continue;
    const v1::RunResult& result = *runs[i].result;
    bytes[HowComputed(result)].push_back(static_cast<double>(result.memory().peak_bytes()));
  }
  std::map<std::string, double> means;
  for (const auto& [how, values] : bytes) means[how] = Describe(values).mean();
  return means;
}

std::vector<Group> GroupBySeed(const std::vector<RunFacts>& runs) {
  std::vector<Group> groups;
  absl::flat_hash_map<std::string, size_t> index;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!Trains(runs[i].spec)) continue;
    const auto [it, added] = index.try_emplace(SeedlessKey(runs[i].spec), groups.size());
    if (added) {
      groups.emplace_back().spec = runs[i].spec;
      groups.back().spec.clear_seed();
    }
    groups[it->second].runs.push_back(i);
  }
  std::vector<v1::ExperimentSpec> specs;
  for (Group& group : groups) {
    group.summary = Summarize(group, runs);
    specs.push_back(group.spec);
  }
  const std::vector<std::string> differences = Differences(specs);
  for (size_t i = 0; i < groups.size(); ++i) groups[i].summary.set_differs(differences[i]);
  if (!groups.empty()) LabelGroups(&groups);
  AddPeakReductions(runs, &groups);
  return groups;
}

}  // namespace qsweep
