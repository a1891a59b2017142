// What is summed up over the runs of one scope: the parts of a spec that they share.
#ifndef QSWEEP_ANALYSIS_BY_SCOPE_H_
#define QSWEEP_ANALYSIS_BY_SCOPE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "analysis/summary.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

// Values by scope, in the order in which the scopes first came. Value has a member `scope`.
template <typename Value>
class ByScope {
 public:
  // `part` of the scope, such as a layer, for values that are of one.
  Value& At(v1::ExperimentSpec scope, absl::string_view part = "") {
    const auto [it, added] =
        index_.try_emplace(absl::StrCat(part, "\n", scope.SerializeAsString()), values_.size());
    if (added) values_.emplace_back().scope = std::move(scope);
    return values_[it->second];
  }
  std::vector<Value>& values() { return values_; }
  std::vector<v1::ExperimentSpec> scopes() const {
    std::vector<v1::ExperimentSpec> scopes;
    for (const Value& value : values_) scopes.push_back(value.scope);
    return scopes;
  }
  // QuantizationNames of the values.
  std::vector<std::string> names() const { return QuantizationNames(scopes()); }

 private:
  absl::flat_hash_map<std::string, size_t> index_;
  std::vector<Value> values_;
};

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_BY_SCOPE_H_
