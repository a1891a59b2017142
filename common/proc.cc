#include "common/proc.h"

#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file.h"

namespace qsweep {
namespace {

constexpr int64_t kMaxProcFileBytes = 4 << 20;
constexpr char kOwnStatus[] = "/proc/self/status";

}  // namespace

std::string FieldAfter(const std::string& path, absl::string_view name) {
  const std::string text = ReadFile(path, kMaxProcFileBytes).value_or("");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, name) && !line.empty() && absl::ascii_isspace(line[0])) {
      return std::string(absl::StripAsciiWhitespace(line));
    }
  }
  return "";
}

std::optional<int64_t> NumberAfter(const std::string& path, absl::string_view name) {
  const std::string field = FieldAfter(path, name);
  int64_t value = 0;
  if (!absl::SimpleAtoi(field.substr(0, field.find_first_of(" \t")), &value)) return std::nullopt;
  return value;
}

int64_t BytesAfter(const std::string& path, absl::string_view name) {
  return NumberAfter(path, name).value_or(0) * 1024;
}

int64_t ResidentBytes() { return BytesAfter(kOwnStatus, "VmRSS:"); }

int64_t PeakResidentBytes() { return BytesAfter(kOwnStatus, "VmHWM:"); }

std::string HostName() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace qsweep
