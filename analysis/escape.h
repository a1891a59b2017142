// Any text, made harmless in each language it is put into.
#ifndef QSWEEP_ANALYSIS_ESCAPE_H_
#define QSWEEP_ANALYSIS_ESCAPE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace qsweep {

// In an element or a quoted attribute.
std::string HtmlText(absl::string_view text);
// In running text and table cells, for T1 fonts: Latin letters stay UTF-8, the few other characters
// beyond ASCII that our own labels use become commands, and all else its number (U+65E5), so that
// every TeX can set it and two texts never look the same.
std::string LatexText(absl::string_view text);
// The name of a LaTeX command: letters only, digits spelt out ("r8 nf4" is REightNfFour).
std::string LatexName(absl::string_view text);
// A field of RFC 4180. What a spreadsheet would take for a formula (= + - @ in front, unless it is
// a number) gets an apostrophe before it.
std::string CsvField(absl::string_view text);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_ESCAPE_H_
