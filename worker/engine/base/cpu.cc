#include "worker/engine/base/cpu.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace qsweep::engine {

const std::vector<std::string>& InstructionSets() {
  static const std::vector<std::string> sets = [] {
    std::vector<std::string> found;
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
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (absl::StartsWith(line, "model name") && colon != std::string::npos) {
      return std::string(absl::StripAsciiWhitespace(absl::string_view(line).substr(colon + 1)));
    }
  }
  return "unknown";
}

}  // namespace qsweep::engine
