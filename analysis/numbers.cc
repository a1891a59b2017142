#include "analysis/numbers.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace qsweep {

std::string FixedNumber(double value, int digits) {
  std::string text = absl::StrFormat("%.*f", digits, value);
  if (text[0] == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string SignedNumber(double value, int digits) {
  std::string text = FixedNumber(value, digits);
  return text[0] == '-' ? text : absl::StrCat("+", text);
}

std::string PNumber(double p) { return p < 0.001 ? "< 0.001" : FixedNumber(p, 3); }

std::string Plural(int64_t n, absl::string_view noun) {
  return absl::StrCat(n, " ", noun, n == 1 ? "" : "s");
}

}  // namespace qsweep
