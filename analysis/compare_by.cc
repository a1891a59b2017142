#include "analysis/compare_by.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "analysis/statistics.h"
#include "common/spec/fields.h"
#include "common/spec/pairs.h"
#include "common/spec/wording.h"

namespace qsweep {
namespace {

using ValueOf = std::function<std::string(const v1::ExperimentSpec&)>;

absl::StatusOr<ValueOf> FindValue(const std::string& path) {
  if (path == "quantization") {
    return ValueOf([](const v1::ExperimentSpec& s) { return QuantizationLabel(s.quantization()); });
  }
  if (const SpecField* field = FindSpecField(path)) {
    return ValueOf([field](const v1::ExperimentSpec& s) { return ValueText(s, *field); });
  }
  std::vector<std::string> known = {"quantization"};
  for (const SpecField& field : SpecFields()) known.push_back(field.path);
  return absl::InvalidArgumentError(
      absl::StrCat("--by ", path, ": no such field of a spec", DidYouMeanOrKnown(path, known)));
}

bool IsQuantization(absl::string_view path) {
  return path == "quantization" || absl::StartsWith(path, "quantization.");
}

// What two runs must share to be compared.
class Rest {
 public:
  Rest(const std::vector<RunFacts>& runs, const std::string& path, const ValueOf& value) {
    for (const SpecField& field : SpecFields()) {
      const bool same_section = IsQuantization(path) && IsQuantization(field.path) &&
                                field.path != "quantization.compute_dtype";
      if (field.path == path || same_section || Follows(runs, field, value))
        free_.push_back(&field);
    }
  }
  std::string KeyOf(v1::ExperimentSpec spec) const {
    for (const SpecField* field : free_) ClearField(*field, &spec);
    return spec.SerializeAsString();
  }

 private:
  // Whether the field is not the same everywhere, but always the same for one value.
  static bool Follows(const std::vector<RunFacts>& runs, const SpecField& field,
                      const ValueOf& value) {
    std::map<std::string, std::string> by_value;
    bool varies = false;
    for (const RunFacts& run : runs) {
      const std::string text = ValueText(run.spec, field);
      varies |= text != ValueText(runs.front().spec, field);
      if (by_value.emplace(value(run.spec), text).first->second != text) return false;
    }
    // The seed follows from nothing: where each value had seeds of its own, nothing can be paired.
    return varies && field.path != "seed";
  }

  std::vector<const SpecField*> free_;
};

struct ValueRuns {
  std::vector<const RunFacts*> runs;  // with a result
  v1::FieldValueResult result;
};

template <typename Get>
v1::Statistic Over(const ValueRuns& values, Get get) {
  std::vector<double> numbers;
  for (const RunFacts* run : values.runs) numbers.push_back(static_cast<double>(get(*run->result)));
  return Describe(numbers);
}

void Summarize(ValueRuns* values) {
  v1::FieldValueResult& result = values->result;
  *result.mutable_top1() = Over(*values, [](const auto& r) { return r.best().top1(); });
  *result.mutable_weights_bytes() =
      Over(*values, [](const auto& r) { return r.quantization().bytes_after(); });
  *result.mutable_peak_bytes() =
      Over(*values, [](const auto& r) { return r.memory().peak_bytes(); });
  *result.mutable_images_per_s() = Over(*values, [](const auto& r) { return r.images_per_s(); });
  size_t epochs = values->runs.empty() ? 0 : SIZE_MAX;
  for (const RunFacts* run : values->runs) epochs = std::min(epochs, run->top1.values.size());
  for (size_t epoch = 0; epoch < epochs; ++epoch) {
    double sum = 0;
    for (const RunFacts* run : values->runs) sum += run->top1.values[epoch];
    result.add_curve(sum / static_cast<double>(values->runs.size()));
  }
}

struct Sum {
  double sum = 0;
  int n = 0;
};
std::map<std::string, Sum> ByRest(const ValueRuns& values, const Rest& rest) {
  std::map<std::string, Sum> sums;
  for (const RunFacts* run : values.runs) {
    Sum& sum = sums[rest.KeyOf(run->spec)];
    sum.sum += run->result->best().top1();
    ++sum.n;
  }
  return sums;
}

void Pair(std::vector<ValueRuns>* all, const Rest& rest) {
  if (all->empty()) return;
  const std::map<std::string, Sum> first = ByRest(all->front(), rest);
  std::vector<std::optional<double>> p;
  for (size_t v = 1; v < all->size(); ++v) {
    std::vector<double> differences;
    for (const auto& [key, sum] : ByRest((*all)[v], rest)) {
      const auto partner = first.find(key);
      if (partner == first.end()) continue;
      differences.push_back(sum.sum / sum.n - partner->second.sum / partner->second.n);
    }
    v1::PairedResult& result = *(*all)[v].result.mutable_against_first();
    result = TestPairs(differences);
    p.push_back(result.has_p_t() ? std::optional<double>(result.p_t()) : std::nullopt);
  }
  const auto adjusted = HolmAdjusted(p);
  for (size_t i = 0; i < adjusted.size(); ++i) {
    if (adjusted[i].has_value()) (*all)[i + 1].result.set_p_holm(*adjusted[i]);
  }
}

}  // namespace

absl::StatusOr<v1::FieldComparison> CompareBy(const std::vector<RunFacts>& runs,
                                              const std::string& path) {
  const absl::StatusOr<ValueOf> value = FindValue(path);
  if (!value.ok()) return value.status();
  std::vector<ValueRuns> all;
  std::map<std::string, size_t> index;
  for (const RunFacts& run : runs) {
    if (!Trains(run.spec)) continue;
    const auto [it, added] = index.try_emplace((*value)(run.spec), all.size());
    if (added) all.emplace_back().result.set_value(it->first);
    ValueRuns& values = all[it->second];
    values.result.set_planned(values.result.planned() + 1);
    if (run.result.has_value()) values.runs.push_back(&run);
  }
  for (ValueRuns& values : all) Summarize(&values);
  Pair(&all, Rest(runs, path, *value));
  v1::FieldComparison comparison;
  comparison.set_path(path);
  for (ValueRuns& values : all) *comparison.add_values() = std::move(values.result);
  return comparison;
}

}  // namespace qsweep
