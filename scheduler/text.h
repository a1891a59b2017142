#ifndef QSWEEP_SCHEDULER_TEXT_H_
#define QSWEEP_SCHEDULER_TEXT_H_

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "common/utf8.h"

namespace qsweep {

// Whether there is a control character in it, which could change more of a screen than its line.
inline bool HasControl(absl::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

// The beginning or the end of a UTF-8 text, at most `limit` bytes of it, no character cut in two (a
// message with half a character could not be read by anyone).
inline absl::string_view Beginning(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && IsContinuation(text[limit])) --limit;
  return text.substr(0, limit);
}

inline absl::string_view Ending(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t begin = text.size() - limit;
  while (begin < text.size() && IsContinuation(text[begin])) ++begin;
  return text.substr(begin);
}

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_TEXT_H_
