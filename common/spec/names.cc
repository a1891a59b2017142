#include "common/spec/names.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace qsweep {

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
}

bool IsSweepName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxSweepNameBytes && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), IsNameCharacter) &&
         !std::all_of(name.begin(), name.end(), absl::ascii_isdigit);
}

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxRunNameBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return IsNameCharacter(c) || c == '+'; });
}

}  // namespace qsweep
