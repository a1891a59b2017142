// Which of a dataset's records a spec asks for, known before any is read.
#ifndef QSWEEP_WORKER_ENGINE_DATA_SELECTION_H_
#define QSWEEP_WORKER_ENGINE_DATA_SELECTION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/data/dataset.h"

namespace qsweep::engine {

struct Selection {
  int64_t limit = 0;             // this many of the chosen, the first; INT64_MAX: all
  int32_t classes = 0;           // that are chosen
  std::vector<int32_t> numbers;  // by stored label: its number among the chosen; -1: not chosen

  // Of a dataset with this many classes. InvalidArgument if it has not those that the spec names.
  static absl::StatusOr<Selection> Of(const v1::Dataset& spec, Split split, int64_t classes);
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_SELECTION_H_
