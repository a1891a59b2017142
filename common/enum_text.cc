#include "common/enum_text.h"

#include <google/protobuf/descriptor.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace qsweep {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;

// What all names of a type begin with, as its zero tells.
absl::string_view Prefix(const EnumDescriptor& type) {
  return absl::StripSuffix(type.FindValueByNumber(0)->name(), "UNSPECIFIED");
}

}  // namespace

std::string EnumText(const EnumDescriptor& type, int value) {
  const EnumValueDescriptor* found = type.FindValueByNumber(value);
  return found == nullptr ? ""
                          : absl::AsciiStrToLower(absl::StripPrefix(found->name(), Prefix(type)));
}

int EnumFromText(const EnumDescriptor& type, absl::string_view text) {
  const EnumValueDescriptor* found =
      type.FindValueByName(absl::StrCat(Prefix(type), absl::AsciiStrToUpper(text)));
  return found == nullptr ? 0 : found->number();
}

}  // namespace qsweep
