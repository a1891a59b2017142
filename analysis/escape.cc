#include "analysis/escape.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/utf8.h"

namespace qsweep {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

std::string HtmlText(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&quot;");
        break;
      case '\'':
        out.append("&#39;");
        break;
      default:
        out.push_back(IsControl(c) ? ' ' : c);
    }
  }
  return out;
}

std::string LatexText(absl::string_view text) {
  // Placeholders for what has a command; they are control characters, which a text loses first.
  struct Symbol {
    absl::string_view text, command;
  };
  static constexpr std::array<Symbol, 7> kSymbols = {{{"α", "$\\alpha$"},
                                                      {"·", "$\\cdot$"},
                                                      {"−", "$-$"},
                                                      {"±", "$\\pm$"},
                                                      {"×", "$\\times$"},
                                                      {"–", "--"},
                                                      {"…", "\\dots{}"}}};
  std::string out;
  while (!text.empty()) {
    bool symbol = false;
    for (const Symbol& s : kSymbols) {
      if (!absl::StartsWith(text, s.text)) continue;
      out.append(s.command.data(), s.command.size());
      text.remove_prefix(s.text.size());
      symbol = true;
      break;
    }
    if (symbol) continue;
    const char c = text.front();
    text.remove_prefix(1);
    if (IsControl(c)) {
      out.push_back(' ');
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      out.push_back('?');
      while (!text.empty() && IsContinuation(text.front())) text.remove_prefix(1);
    } else if (absl::string_view("&%$#_{}").find(c) != absl::string_view::npos) {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\\') {
      out.append("\\textbackslash{}");
    } else if (c == '~') {
      out.append("\\textasciitilde{}");
    } else if (c == '^') {
      out.append("\\textasciicircum{}");
    } else if (c == '<') {
      out.append("\\textless{}");
    } else if (c == '>') {
      out.append("\\textgreater{}");
    } else if (c == '|') {
      out.append("\\textbar{}");
    } else if (c == '"') {
      out.append("\\textquotedbl{}");
    } else if (c == '-' || c == '`' || c == '\'') {
      out.append({'{', c, '}'});  // no ligature with its neighbour
    } else {
      out.push_back(c);
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
