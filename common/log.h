// What a daemon says to the one who runs it: one line a fact, to standard error or to a file,
//   2026-11-24T15:34:01.250Z info scheduler run=12 attempt=2: lease expired; will be retried
// time, level (info, warning, error), program, and run and attempt wherever it is about one.
#ifndef QSWEEP_COMMON_LOG_H_
#define QSWEEP_COMMON_LOG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/ids.h"

namespace qsweep {

// The program's name in every line. Set once, before threads start.
void SetLogName(absl::string_view name);
// To this file from now on, not to standard error. Before it grows past `max_bytes` it becomes
// PATH.1, that PATH.2 and so on up to kKeptLogFiles, which goes. Once, before threads start.
inline constexpr int64_t kMaxLogFileBytes = 16 << 20;
inline constexpr int kKeptLogFiles = 4;
absl::Status SetLogFile(const std::string& path, int64_t max_bytes = kMaxLogFileBytes);
// The same for a program's help.
inline std::string LogFileHelp() {
  return absl::StrCat("log there and not to standard error; ", kMaxLogFileBytes >> 20,
                      " MiB each, the last ", kKeptLogFiles, " are kept");
}

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
