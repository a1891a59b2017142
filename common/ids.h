// Ids that do not mix: a RunId is not a SweepId, though both are row numbers.
#ifndef QSWEEP_COMMON_IDS_H_
#define QSWEEP_COMMON_IDS_H_

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/hash/hash.h"

namespace qsweep {

template <typename Tag, typename T>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(T value) : value_(std::move(value)) {}
  const T& value() const { return value_; }

  friend bool operator==(const StrongId&, const StrongId&) = default;
  friend auto operator<=>(const StrongId&, const StrongId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const StrongId& id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  T value_{};
};

using SweepId = StrongId<struct SweepTag, int64_t>;
using RunId = StrongId<struct RunTag, int64_t>;
using AttemptNumber = StrongId<struct AttemptTag, int32_t>;
using WorkerId = StrongId<struct WorkerTag, std::string>;

// One assignment of one run to one worker.
struct AttemptId {
  RunId run;
  AttemptNumber number;
  friend bool operator==(const AttemptId&, const AttemptId&) = default;
  friend auto operator<=>(const AttemptId&, const AttemptId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const AttemptId& id) {
    return H::combine(std::move(h), id.run, id.number);
  }
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_IDS_H_
