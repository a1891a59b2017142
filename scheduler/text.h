#ifndef QSWEEP_SCHEDULER_TEXT_H_
#define QSWEEP_SCHEDULER_TEXT_H_

#include "absl/strings/string_view.h"

namespace qsweep {

// Whether there is a control character in it, which could change more of a screen than its line.
inline bool HasControl(absl::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

// The beginning or the end of a UTF-8 text, at most `limit` bytes of it, no character cut in two (a
// message with half a character could not be read by anyone).
inline bool IsCharacterStart(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

inline absl::string_view Beginning(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && !IsCharacterStart(text[limit])) --limit;
  return text.substr(0, limit);
}

inline absl::string_view Ending(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t begin = text.size() - limit;
  while (begin < text.size() && !IsCharacterStart(text[begin])) ++begin;
  return text.substr(begin);
}

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_TEXT_H_
