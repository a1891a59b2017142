#include "analysis/escape.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/utf8.h"

namespace qsweep {
namespace {

std::string WithoutControl(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); }, ' ');
  return text;
}

// What our own labels use beyond ASCII has commands that every TeX knows.
constexpr auto kLatex = std::to_array<std::pair<absl::string_view, absl::string_view>>({
    {"&", "\\&"},
    {"%", "\\%"},
    {"$", "\\$"},
    {"#", "\\#"},
    {"_", "\\_"},
    {"{", "\\{"},
    {"}", "\\}"},
    {"\\", "\\textbackslash{}"},
    {"~", "\\textasciitilde{}"},
    {"^", "\\textasciicircum{}"},
    {"<", "\\textless{}"},
    {">", "\\textgreater{}"},
    {"|", "\\textbar{}"},
    {"\"", "\\textquotedbl{}"},
    {"-", "{-}"},  // no ligature with its neighbour
    {"`", "{`}"},
    {"'", "{'}"},
    {"α", "$\\alpha$"},
    {"·", "$\\cdot$"},
    {"−", "$-$"},
    {"±", "$\\pm$"},
    {"×", "$\\times$"},
    {"–", "--"},
    {"…", "\\dots{}"},
});

// Removes the first character, which is not ASCII.
char32_t TakeCharacter(absl::string_view* text) {
  const auto lead = static_cast<unsigned char>(text->front());
  char32_t code = lead & (lead < 0xE0 ? 0x1F : lead < 0xF0 ? 0x0F : 0x07);
  text->remove_prefix(1);
  while (!text->empty() && IsContinuation(text->front())) {
    code = code << 6 | (static_cast<unsigned char>(text->front()) & 0x3F);
    text->remove_prefix(1);
  }
  return code;
}

// Letters that LaTeX has in its T1 encoding.
bool IsLatin(char32_t code) {
  static constexpr char32_t kMissing[] = {0x126, 0x127, 0x138, 0x13F, 0x140,
                                          0x149, 0x166, 0x167, 0x17F};
  return code >= 0xC0 && code <= 0x17F &&
         std::find(std::begin(kMissing), std::end(kMissing), code) == std::end(kMissing);
}

}  // namespace

std::string HtmlText(absl::string_view text) {
  return WithoutControl(absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}}));
}

std::string LatexText(absl::string_view text) {
  const std::string replaced = WithoutControl(absl::StrReplaceAll(text, kLatex));
  std::string out;
  for (absl::string_view rest = replaced; !rest.empty();) {
    const absl::string_view before = rest;
    if (static_cast<unsigned char>(rest.front()) < 0x80) {
      out.push_back(rest.front());
      rest.remove_prefix(1);
    } else if (const char32_t code = TakeCharacter(&rest); IsLatin(code)) {
      absl::StrAppend(&out, before.substr(0, before.size() - rest.size()));
    } else {
      absl::StrAppendFormat(&out, "U+%04X", static_cast<uint32_t>(code));
    }
  }
  return out;
}

std::string LatexName(absl::string_view text) {
  static constexpr const char* kDigits[] = {"Zero", "One", "Two",   "Three", "Four",
                                            "Five", "Six", "Seven", "Eight", "Nine"};
  std::string out;
  bool begins = true;
  for (const char c : text) {
    if (absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      out.append(kDigits[c - '0']);
      begins = true;
    } else if (absl::ascii_isalpha(static_cast<unsigned char>(c))) {
      out.push_back(begins ? absl::ascii_toupper(static_cast<unsigned char>(c)) : c);
      begins = false;
    } else {
      begins = true;
    }
  }
  return out;
}

std::string CsvField(absl::string_view text) {
  double number = 0;
  const bool formula =
      !text.empty() &&
      absl::string_view("=+-@\t\r").find(text.front()) != absl::string_view::npos &&
      !absl::SimpleAtod(text, &number);
  const std::string field = absl::StrCat(formula ? "'" : "", text);
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  return absl::StrCat("\"", absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\"");
}

}  // namespace qsweep
