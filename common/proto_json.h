// Proto JSON with the field names of the .proto files.
#ifndef QSWEEP_COMMON_PROTO_JSON_H_
#define QSWEEP_COMMON_PROTO_JSON_H_

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace qsweep {

enum class JsonStyle { kCompact, kPretty, kPrettyWithDefaults };

std::string ToJson(const google::protobuf::Message& message, JsonStyle style = JsonStyle::kCompact);
// Unknown fields are errors. At most 100 levels deep.
absl::Status FromJson(absl::string_view json, google::protobuf::Message* message);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_PROTO_JSON_H_
