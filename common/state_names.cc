#include "common/state_names.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/enum_text.h"

namespace qsweep {
namespace {

// `kind` stands before the number of one that a newer program made.
template <typename E>
std::string Words(E value, const char* kind) {
  const std::string text = EnumText(value);
  return text.empty() ? absl::StrCat(kind, " ", static_cast<int>(value))
                      : absl::StrReplaceAll(text, {{"_", " "}});
}

}  // namespace

std::string StateName(v1::RunState state) { return Words(state, "state"); }

std::string BlameName(v1::Blame blame) { return Words(blame, "blame"); }

}  // namespace qsweep
