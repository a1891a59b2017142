#include "common/log.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/file.h"

namespace qsweep {
namespace {

std::string& Name() {
  static std::string name = "qsweep";
  return name;
}

void Write(absl::string_view level, absl::string_view text) {
  const absl::Time now = absl::FromUnixMicros(SystemClock().UnixMicros());
  const std::string line = absl::StrCat(
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", now, absl::UTCTimeZone()), " ", level, " ", Name(),
      " ", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\n");
  (void)WriteAll(STDERR_FILENO, line, "stderr");  // nowhere left to complain
}

}  // namespace

void SetLogName(absl::string_view name) { Name() = std::string(name); }
void LogInfo(absl::string_view text) { Write("info", text); }
void LogWarning(absl::string_view text) { Write("warning", text); }
void LogError(absl::string_view text) { Write("error", text); }

}  // namespace qsweep
