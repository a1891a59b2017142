// What a daemon says to the one who runs it: one line a fact, to standard error,
//   2026-11-24T15:34:01.250Z info scheduler run=12 attempt=2: lease expired; will be retried
#ifndef QSWEEP_COMMON_LOG_H_
#define QSWEEP_COMMON_LOG_H_

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/ids.h"

namespace qsweep {

// The program's name in every line. Set once, before threads start.
void SetLogName(absl::string_view name);

// Thread-safe; a line is written whole.
void LogInfo(absl::string_view text);
void LogWarning(absl::string_view text);
void LogError(absl::string_view text);

// "run=12 attempt=2: ", to begin a line with.
inline std::string LogTag(const AttemptId& id) {
  return absl::StrCat("run=", id.run.value(), " attempt=", id.number.value(), ": ");
}

}  // namespace qsweep

#endif  // QSWEEP_COMMON_LOG_H_
