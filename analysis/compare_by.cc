#include "analysis/compare_by.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "analysis/statistics.h"
#include "common/spec/fields.h"
#include "common/spec/pairs.h"
#include "common/wording.h"

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
  std::string hint = DidYouMean(path, known);
  if (hint.empty()) hint = "; `qctl keys` lists them";
  return absl::InvalidArgumentError(absl::StrCat("--by ", path, ": no such field of a spec", hint));
}

bool IsQuantization(absl::string_view path) {
  return path == "quantization" || absl::StartsWith(path, "quantization.");
}

// What two runs must share to be compared.
class Rest {
 public:
  Rest(const std::vector<const RunFacts*>& runs, const std::string& path, const ValueOf& value) {
    // The label and the bits stand for the section, but for what an unquantized run has, too.
    const bool whole_section = path == "quantization" || path == "quantization.bits";
    for (const SpecField& field : SpecFields()) {
      const bool section = IsQuantization(field.path) && field.path != "quantization.compute_dtype";
      if (field.path == path || (whole_section && section)) {
        free_.push_back(&field);
      } else if (!(IsQuantization(path) && section) && Follows(runs, field, value)) {
        free_.push_back(&field);
        along_.push_back(field.path);
      }
    }
  }
  std::string KeyOf(v1::ExperimentSpec spec) const {
    for (const SpecField* field : free_) ClearField(*field, &spec);
    return spec.SerializeAsString();
  }
  // Fields that are not the same everywhere, but always the same for one value.
  const std::vector<std::string>& along() const { return along_; }

 private:
  static bool Follows(const std::vector<const RunFacts*>& runs, const SpecField& field,
                      const ValueOf& value) {
    std::map<std::string, std::string> by_value;
    bool varies = false;
    for (const RunFacts* run : runs) {
      const std::string text = ValueText(run->spec, field);
      varies |= text != ValueText(runs.front()->spec, field);
      if (by_value.emplace(value(run->spec), text).first->second != text) return false;
    }
    // The seed follows from nothing: where each value had seeds of its own, nothing can be paired.
    return varies && field.path != "seed";
  }

  std::vector<const SpecField*> free_;
  std::vector<std::string> along_;
};

// A run with a result, and what it must share with its partners.
struct KeyedRun {
  const RunFacts* run;
  std::string key;
};

struct ValueRuns {
  std::vector<KeyedRun> runs;
  v1::FieldValueResult result;
  std::set<std::string> keys() const {
    std::set<std::string> keys;
    for (const KeyedRun& r : runs) keys.insert(r.key);
    return keys;
  }
  void Keep(const std::set<std::string>& keys) {
    runs.erase(std::remove_if(runs.begin(), runs.end(),
                              [&](const KeyedRun& r) { return keys.count(r.key) == 0; }),
               runs.end());
  }
};

template <typename Get>
v1::Statistic Over(const ValueRuns& values, Get get) {
  BySeed numbers;
  for (const auto& [run, key] : values.runs) {
    numbers[run->spec.seed()].push_back(static_cast<double>(get(*run->result)));
  }
  return Describe(SeedMeans(numbers));
}

void Summarize(ValueRuns* values) {
  v1::FieldValueResult& result = values->result;
  result.set_runs(static_cast<int32_t>(values->runs.size()));
  *result.mutable_top1() = Over(*values, [](const auto& r) { return r.best().top1(); });
  *result.mutable_weights_bytes() =
      Over(*values, [](const auto& r) { return r.quantization().bytes_after(); });
  *result.mutable_peak_bytes() =
      Over(*values, [](const auto& r) { return r.memory().peak_bytes(); });
  *result.mutable_images_per_s() = Over(*values, [](const auto& r) { return r.images_per_s(); });
  size_t epochs = values->runs.empty() ? 0 : SIZE_MAX;
  for (const KeyedRun& r : values->runs) epochs = std::min(epochs, r.run->top1.values.size());
  for (size_t epoch = 0; epoch < epochs; ++epoch) {
    double sum = 0;
    for (const KeyedRun& r : values->runs) sum += r.run->top1.values[epoch];
    result.add_curve(sum / static_cast<double>(values->runs.size()));
  }
}

struct KeyTop1 {
  int64_t seed = 0;  // of the key's runs, if it is part of the key
  std::vector<double> top1;
};
std::map<std::string, KeyTop1> Top1ByKey(const ValueRuns& values) {
  std::map<std::string, KeyTop1> all;
  for (const auto& [run, key] : values.runs) {
    KeyTop1& top1 = all[key];
    top1.seed = run->spec.seed();
    top1.top1.push_back(run->result->best().top1());
  }
  return all;
}

// Drops runs without a partner, which would be averaged into one side only.
void KeepPartners(std::vector<ValueRuns>* all) {
  if (all->size() < 2) return;
  const std::set<std::string> first = all->front().keys();
  std::set<std::string> partners;
  for (size_t v = 1; v < all->size(); ++v) {
    (*all)[v].Keep(first);
    partners.merge((*all)[v].keys());
  }
  all->front().Keep(partners);
}

// Of several partners the mean counts. Where seeds are compared, that is of one against another.
v1::PairedResult Against(const ValueRuns& first, const ValueRuns& values) {
  const std::map<std::string, KeyTop1> theirs = Top1ByKey(first);
  BySeed by_seed;
  for (const auto& [key, ours] : Top1ByKey(values)) {
    const auto partner = theirs.find(key);
    if (partner == theirs.end()) continue;
    by_seed[ours.seed].push_back(Describe(ours.top1).mean() -
                                 Describe(partner->second.top1).mean());
  }
  return TestSeeds(by_seed);
}

// Peak and speed of runs that were computed in different ways are of different things.
std::string ResourceNote(const std::vector<ValueRuns>& all) {
  std::set<std::string> ways;
  for (const ValueRuns& values : all) {
    for (const KeyedRun& r : values.runs) ways.insert(HowComputed(*r.run->result));
  }
  if (ways.size() < 2) return "";
  return absl::StrCat("peaks and images/s are not comparable: runs were computed in ", ways.size(),
                      " ways, ", *ways.begin(), "; ", *ways.rbegin());
}

}  // namespace

absl::StatusOr<v1::FieldComparison> CompareBy(const std::vector<RunFacts>& runs,
                                              const std::string& path) {
  const absl::StatusOr<ValueOf> value = FindValue(path);
  if (!value.ok()) return value.status();
  std::vector<const RunFacts*> trained;
  for (const RunFacts& run : runs) {
    if (Trains(run.spec)) trained.push_back(&run);
  }
  const Rest rest(trained, path, *value);
  std::vector<ValueRuns> all;
  std::map<std::string, size_t> index;
  for (const RunFacts* run : trained) {
    const auto [it, added] = index.try_emplace((*value)(run->spec), all.size());
    if (added) all.emplace_back().result.set_value(it->first);
    ValueRuns& values = all[it->second];
    values.result.set_planned(values.result.planned() + 1);
    if (run->result.has_value()) values.runs.push_back({run, rest.KeyOf(run->spec)});
  }
  KeepPartners(&all);
  v1::FieldComparison comparison;
  comparison.set_path(path);
  for (const std::string& along : rest.along()) comparison.add_along(along);
  comparison.set_note(ResourceNote(all));
  for (size_t v = 0; v < all.size(); ++v) {
    Summarize(&all[v]);
    if (v > 0) *all[v].result.mutable_against_first() = Against(all.front(), all[v]);
    *comparison.add_values() = all[v].result;
  }
  SetHolm(&v1::FieldValueResult::against_first, comparison.mutable_values());
  return comparison;
}

}  // namespace qsweep
