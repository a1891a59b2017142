// Enumerators of messages as tables, tokens and people spell them: BLAME_CONTROL_PLANE is
// "control_plane". Of enums whose zero is NAME_UNSPECIFIED, as all of ours.
#ifndef QSWEEP_COMMON_ENUM_TEXT_H_
#define QSWEEP_COMMON_ENUM_TEXT_H_

#include <google/protobuf/generated_enum_reflection.h>

#include <string>

#include "absl/strings/string_view.h"

namespace qsweep {

std::string EnumText(const google::protobuf::EnumDescriptor& type, int value);
int EnumFromText(const google::protobuf::EnumDescriptor& type, absl::string_view text);

// Empty for a number that is none of them.
template <typename E>
std::string EnumText(E value) {
  return EnumText(*google::protobuf::GetEnumDescriptor<E>(), static_cast<int>(value));
}

// NAME_UNSPECIFIED for a text that is none of them.
template <typename E>
E EnumFromText(absl::string_view text) {
  return static_cast<E>(EnumFromText(*google::protobuf::GetEnumDescriptor<E>(), text));
}

}  // namespace qsweep

#endif  // QSWEEP_COMMON_ENUM_TEXT_H_
