#include "worker/engine/data/selection.h"

#include <numeric>

#include "absl/strings/str_cat.h"

namespace qsweep::engine {

absl::StatusOr<Selection> Selection::Of(const v1::Dataset& spec, Split split, int64_t classes) {
  const int64_t limit = split == Split::kTrain ? spec.train_limit() : spec.eval_limit();
  Selection selection{.limit = limit > 0 ? limit : INT64_MAX};
  selection.numbers.assign(classes, -1);
  for (int32_t label : spec.classes()) {
    if (label < 0 || label >= classes || selection.numbers[label] >= 0) {
      return absl::InvalidArgumentError(absl::StrCat("dataset.classes: ", label,
                                                     " is not one of the ", classes, " classes of ",
                                                     spec.name(), ", or named twice"));
    }
    selection.numbers[label] = selection.classes++;
  }
  if (!spec.classes().empty()) return selection;
  selection.classes = static_cast<int32_t>(classes);
  std::iota(selection.numbers.begin(), selection.numbers.end(), 0);
  return selection;
}

}  // namespace qsweep::engine
