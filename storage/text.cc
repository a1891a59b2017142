#include "storage/text.h"

#include "common/status.h"

namespace qsweep::storage {

v1::RunState RunStateFromText(absl::string_view text) {
  const auto state = EnumFromText<v1::RunState>(text);
  QSWEEP_CHECK(state != v1::RUN_STATE_UNSPECIFIED);
  return state;
}

std::optional<std::string> BlameText(v1::Blame blame) {
  if (blame == v1::BLAME_UNSPECIFIED) return std::nullopt;
  return EnumText(blame);
}

v1::Blame BlameFromText(absl::string_view text) {
  const auto blame = EnumFromText<v1::Blame>(text);
  QSWEEP_CHECK(blame != v1::BLAME_UNSPECIFIED || text.empty());
  return blame;
}

}  // namespace qsweep::storage
