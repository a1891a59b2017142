// States and blames as the tables spell them (common/enum_text.h); of others the process would die.
#ifndef QSWEEP_STORAGE_TEXT_H_
#define QSWEEP_STORAGE_TEXT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/enum_text.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::storage {

v1::RunState RunStateFromText(absl::string_view text);
// Unspecified is NULL.
std::optional<std::string> BlameText(v1::Blame blame);
v1::Blame BlameFromText(absl::string_view text);

// 0 means "not yet" in messages, NULL in tables.
inline std::optional<int64_t> NullIfZero(int64_t value) {
  return value == 0 ? std::nullopt : std::optional<int64_t>(value);
}

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_TEXT_H_
