#include "storage/text.h"

#include "absl/strings/ascii.h"
#include "common/status.h"

namespace qsweep::storage {
namespace {

constexpr char kRunStatePrefix[] = "RUN_STATE_";
constexpr char kBlamePrefix[] = "BLAME_";

}  // namespace

std::string RunStateText(v1::RunState state) {
  return absl::AsciiStrToLower(v1::RunState_Name(state).substr(sizeof kRunStatePrefix - 1));
}

v1::RunState RunStateFromText(absl::string_view text) {
  v1::RunState state = v1::RUN_STATE_UNSPECIFIED;
  QSWEEP_CHECK(
      v1::RunState_Parse(absl::StrCat(kRunStatePrefix, absl::AsciiStrToUpper(text)), &state));
  return state;
}

std::optional<std::string> BlameText(v1::Blame blame) {
  if (blame == v1::BLAME_UNSPECIFIED) return std::nullopt;
  return absl::AsciiStrToLower(v1::Blame_Name(blame).substr(sizeof kBlamePrefix - 1));
}

v1::Blame BlameFromText(absl::string_view text) {
  v1::Blame blame = v1::BLAME_UNSPECIFIED;
  if (!text.empty()) {
    QSWEEP_CHECK(v1::Blame_Parse(absl::StrCat(kBlamePrefix, absl::AsciiStrToUpper(text)), &blame));
  }
  return blame;
}

}  // namespace qsweep::storage
