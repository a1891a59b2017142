#include "common/proto_json.h"

#include <google/protobuf/util/json_util.h>

#include "common/status.h"

namespace qsweep {
namespace json = google::protobuf::util;

std::string ToJson(const google::protobuf::Message& message, JsonStyle style) {
  json::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = style != JsonStyle::kCompact;
  options.always_print_primitive_fields = style == JsonStyle::kPrettyWithDefaults;
  std::string text;
  const auto status = json::MessageToJsonString(message, &text, options);
  QSWEEP_CHECK(status.ok());  // fails for Any and the like only, which we do not use
  return text;
}

absl::Status FromJson(absl::string_view text, google::protobuf::Message* message) {
  const auto status = json::JsonStringToMessage({text.data(), text.size()}, message);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(status.message()));
}

}  // namespace qsweep
