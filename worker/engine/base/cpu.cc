#include "worker/engine/base/cpu.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace qsweep::engine {

const std::vector<std::string>& InstructionSets() {
  static const std::vector<std::string> sets = [] {
    std::vector<std::string> found;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c")) {
      found.push_back("avx2");
    }
    if (!found.empty() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      found.push_back("avx512");
      if (__builtin_cpu_supports("avx512bf16")) found.push_back("avx512_bf16");
      if (__builtin_cpu_supports("avx512vnni")) found.push_back("avx512_vnni");
      if (__builtin_cpu_supports("amx-bf16")) found.push_back("amx_bf16");
      if (__builtin_cpu_supports("amx-int8")) found.push_back("amx_int8");
    }
#endif
    return found;
  }();
  return sets;
}

bool CpuHas(absl::string_view instruction_set) {
  const std::vector<std::string>& sets = InstructionSets();
  return std::find(sets.begin(), sets.end(), instruction_set) != sets.end();
}

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  std::string implementer;
  for (std::string line; std::getline(file, line);) {
    const std::pair<absl::string_view, absl::string_view> entry =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const std::string value(absl::StripAsciiWhitespace(entry.second));
    if (absl::StartsWith(line, "model name")) return value;
    if (absl::StartsWith(line, "CPU implementer")) implementer = value;
    if (absl::StartsWith(line, "CPU part")) return absl::StrCat("Arm ", implementer, ":", value);
  }
  return "unknown";
}

}  // namespace qsweep::engine
