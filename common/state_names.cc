#include "common/state_names.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

namespace qsweep {
namespace {

// Of enumerators: RUN_STATE_PENDING is "pending".
std::string Words(absl::string_view name, absl::string_view prefix) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name.substr(prefix.size())), {{"_", " "}});
}

}  // namespace

std::string StateName(v1::RunState state) {
  if (!v1::RunState_IsValid(state)) return absl::StrCat("state ", static_cast<int>(state));
  return Words(v1::RunState_Name(state), "RUN_STATE_");
}

std::string BlameName(v1::Blame blame) {
  if (!v1::Blame_IsValid(blame)) return absl::StrCat("blame ", static_cast<int>(blame));
  return Words(v1::Blame_Name(blame), "BLAME_");
}

}  // namespace qsweep
