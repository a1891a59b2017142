#include "common/utf8.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"

namespace qsweep {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The length of the valid UTF-8 character at the begin of `text`; 0 if it is none. RFC 3629.
size_t CharacterLength(absl::string_view text) {
  const unsigned char c = static_cast<unsigned char>(text[0]);
  const size_t length = c < 0x80   ? 1
                        : c < 0xC2 ? 0
                        : c < 0xE0 ? 2
                        : c < 0xF0 ? 3
                        : c < 0xF5 ? 4
                                   : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  if (length < 3) return length;
  const unsigned char second = static_cast<unsigned char>(text[1]);
  const bool overlong = (c == 0xE0 && second < 0xA0) || (c == 0xF0 && second < 0x90);
  const bool surrogate = c == 0xED && second > 0x9F;
  const bool too_large = c == 0xF4 && second > 0x8F;
  return overlong || surrogate || too_large ? 0 : length;
}

void MakeField(const FieldDescriptor& field, Message* message) {
  const google::protobuf::Reflection& reflection = *message->GetReflection();
  const bool text = field.type() == FieldDescriptor::TYPE_STRING;
  const bool nested = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  const int count = field.is_repeated() ? reflection.FieldSize(*message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    if (text && field.is_repeated()) {
      const std::string value = reflection.GetRepeatedString(*message, &field, i);
      reflection.SetRepeatedString(message, &field, i, ToUtf8(value));
    } else if (text) {
      reflection.SetString(message, &field, ToUtf8(reflection.GetString(*message, &field)));
    } else if (nested && field.is_repeated()) {
      MakeUtf8(reflection.MutableRepeatedMessage(message, &field, i));
    } else if (nested) {
      MakeUtf8(reflection.MutableMessage(message, &field));
    }
  }
}

}  // namespace

bool IsValidUtf8(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string ToUtf8(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
    if (length == 0) text += '?';
    text.append(bytes.data(), length);
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  return text;
}

void MakeUtf8(Message* message) {
  std::vector<const FieldDescriptor*> fields;  // those that are set
  message->GetReflection()->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) MakeField(*field, message);
}

absl::string_view Beginning(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && IsContinuation(text[limit])) --limit;
  return text.substr(0, limit);
}

absl::string_view Ending(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  text.remove_prefix(text.size() - limit);
  // No character has more to go on with.
  for (int i = 0; i < 3 && !text.empty() && IsContinuation(text[0]); ++i) text.remove_prefix(1);
  return text;
}

bool HasControl(absl::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

}  // namespace qsweep
