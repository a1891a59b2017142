#include "qctl/output.h"

#include <cstdio>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/proto_json.h"

namespace qsweep::qctl {

void Print(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintLine(absl::string_view text) { Print(absl::StrCat(text, "\n")); }

void Heading(absl::string_view text) {
  PrintLine(absl::StrCat("\n", OutStyle().Paint(Ink::kBold, text)));
}

void Note(absl::string_view text) {
  std::fflush(stdout);
  std::fputs(absl::StrCat(text, "\n").c_str(), stderr);
}

void PrintJson(const google::protobuf::Message& message) {
  Print(ToJson(message, JsonStyle::kPrettyWithDefaults));
}

void PrintJsonLine(const google::protobuf::Message& message) {
  PrintLine(ToJson(message));
  std::fflush(stdout);
}

void PrintTable(const Table& table, size_t indent) {
  Print(table.Render(OutStyle(), OutWidth(), indent));
}

const Style& OutStyle() {
  static const Style style = StyleOf(stdout);
  return style;
}

size_t OutWidth() {
  return IsTerminal(stdout) ? SizeOf(stdout).columns : std::numeric_limits<size_t>::max();
}

Ink InkOf(v1::RunState state) {
  switch (state) {
    case v1::RUN_STATE_RUNNING:
      return Ink::kCyan;
    case v1::RUN_STATE_SUCCEEDED:
      return Ink::kGreen;
    case v1::RUN_STATE_FAILED:
      return Ink::kRed;
    case v1::RUN_STATE_CANCELLED:
      return Ink::kYellow;
    default:
      return Ink::kPlain;
  }
}

}  // namespace qsweep::qctl
