// Paths may hold any bytes; the strings of a message must be UTF-8, or nobody can parse it.
#ifndef QSWEEP_COMMON_UTF8_H_
#define QSWEEP_COMMON_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class Message;
}

namespace qsweep {

// Whether a byte of UTF-8 goes on with the character that a byte before it began.
inline bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Every byte that is of no character (RFC 3629) becomes a question mark.
std::string ToUtf8(absl::string_view bytes);
// All strings in it, so.
void MakeUtf8(google::protobuf::Message* message);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_UTF8_H_
