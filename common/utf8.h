// Texts from elsewhere. Paths may hold any bytes; the strings of a message must be UTF-8, or nobody
// can parse it.
#ifndef QSWEEP_COMMON_UTF8_H_
#define QSWEEP_COMMON_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class Message;
}

namespace qsweep {

// Whether a byte of UTF-8 goes on with the character that a byte before it began.
inline bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// RFC 3629.
bool IsValidUtf8(absl::string_view bytes);
// Every byte that is of no character becomes a question mark.
std::string ToUtf8(absl::string_view bytes);
// All strings in it, so.
void MakeUtf8(google::protobuf::Message* message);

// The beginning or the end of a UTF-8 text, at most `limit` bytes of it, no character cut in two.
absl::string_view Beginning(absl::string_view text, size_t limit);
absl::string_view Ending(absl::string_view text, size_t limit);

// Whether there is a control character in it, which could change more of a screen than its line.
bool HasControl(absl::string_view text);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_UTF8_H_
