#include "analysis/summary.h"

#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "analysis/spec_fields.h"
#include "common/proto_json.h"

namespace qsweep {
namespace {

struct Group {
  v1::ExperimentSpec spec;  // without the seed
  std::vector<const v1::RunResult*> results;
};

// The columns of the table say these already.
bool HasColumn(const std::string& path) {
  return path == "model.name" || path == "dataset.name" || path == "training.method" ||
         path == "lora.rank" || path == "quantization.bits" || path == "quantization.quant_type" ||
         path == "quantization.double_quant";
}

// For each group, what tells it from the others and has no column.
std::vector<std::string> Differences(const std::vector<Group>& groups) {
  std::vector<std::map<std::string, std::string>> flat(groups.size());
  std::map<std::string, std::set<std::string>> values;  // by path; "" where a group lacks it
  for (size_t i = 0; i < groups.size(); ++i) {
    for (SpecField& field : SpecFields(groups[i].spec)) {
      values[field.path];
      flat[i][field.path] = std::move(field.value);
    }
  }
  for (auto& [path, seen] : values) {
    for (auto& fields : flat) seen.insert(fields[path]);
  }
  std::vector<std::string> differences;
  for (auto& fields : flat) {
    std::vector<std::string> parts;
    for (const auto& [path, seen] : values) {
      if (seen.size() > 1 && !HasColumn(path)) {
        parts.push_back(absl::StrCat(path, "=", fields[path]));
      }
    }
    differences.push_back(absl::StrJoin(parts, ", "));
  }
  return differences;
}

template <typename Get>
v1::Statistic Over(const Group& group, Get get) {
  std::vector<double> values;
  for (const v1::RunResult* result : group.results) {
    values.push_back(static_cast<double>(get(*result)));
  }
  return Describe(values);
}

v1::GroupSummary Summarize(const Group& group) {
  v1::GroupSummary summary;
  summary.set_model(group.spec.model().name());
  summary.set_dataset(group.spec.dataset().name());
  summary.set_method(group.spec.training().method());
  if (summary.method() == "lora") summary.set_rank(group.spec.lora().rank());
  summary.set_quantization(QuantizationLabel(group.spec.quantization()));
  *summary.mutable_top1() = Over(group, [](const auto& r) { return r.best().top1(); });
  const double before =
      Over(group, [](const auto& r) { return r.quantization().bytes_before(); }).mean();
  summary.set_weights_bytes(
      Over(group, [](const auto& r) { return r.quantization().bytes_after(); }).mean());
  if (before > 0) summary.set_weights_reduction(1 - summary.weights_bytes() / before);
  summary.set_peak_bytes(Over(group, [](const auto& r) { return r.memory().peak_bytes(); }).mean());
  summary.set_images_per_s(Over(group, [](const auto& r) { return r.images_per_s(); }).mean());
  return summary;
}

// What two specs share when they differ in the quantization only.
std::string Unquantized(v1::ExperimentSpec spec) {
  spec.clear_quantization();
  return ToJson(spec);
}

}  // namespace

std::string QuantizationLabel(const v1::Quantization& quantization) {
  if (quantization.bits() == 0) return "none";
  if (quantization.bits() == 8) return "int8";
  return absl::StrCat(quantization.quant_type(), quantization.double_quant() ? "+dq" : "");
}

v1::Statistic Describe(const std::vector<double>& values) {
  v1::Statistic statistic;
  if (values.empty()) return statistic;
  const double n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  double squares = 0;  // about the mean, so nothing cancels
  for (const double value : values) squares += (value - sum / n) * (value - sum / n);
  statistic.set_n(static_cast<int32_t>(values.size()));
  statistic.set_mean(sum / n);
  if (values.size() > 1) statistic.set_sd(std::sqrt(squares / (n - 1)));
  return statistic;
}

std::vector<v1::GroupSummary> SummarizeBySeed(const std::vector<FinishedRun>& runs) {
  std::vector<Group> groups;
  std::map<std::string, size_t> index;
  for (const FinishedRun& run : runs) {
    v1::ExperimentSpec spec = run.spec;
    spec.clear_seed();
    const auto [it, added] = index.try_emplace(ToJson(spec), groups.size());
    if (added) groups.push_back({std::move(spec), {}});
    groups[it->second].results.push_back(&run.result);
  }

  std::vector<v1::GroupSummary> summaries;
  std::map<std::string, double> unquantized_peak;
  const std::vector<std::string> differences = Differences(groups);
  for (size_t i = 0; i < groups.size(); ++i) {
    summaries.push_back(Summarize(groups[i]));
    summaries.back().set_differs(differences[i]);
    if (summaries.back().quantization() == "none") {
      unquantized_peak.emplace(Unquantized(groups[i].spec), summaries.back().peak_bytes());
    }
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    const auto baseline = unquantized_peak.find(Unquantized(groups[i].spec));
    if (summaries[i].quantization() == "none" || baseline == unquantized_peak.end() ||
        baseline->second <= 0) {
      continue;
    }
    summaries[i].set_peak_reduction(1 - summaries[i].peak_bytes() / baseline->second);
  }
  return summaries;
}

}  // namespace qsweep
