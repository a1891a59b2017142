// How errors speak of what was read: quoted, cut short, with the nearest word that would have done.
#ifndef QSWEEP_COMMON_WORDING_H_
#define QSWEEP_COMMON_WORDING_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace qsweep {

// Escaped, at most 60 bytes of it.
std::string Shown(absl::string_view text);
// The same in single quotes.
std::string Quoted(absl::string_view text);

// "; did you mean rank?" if one of `known` is a slip away from `word`, begins with it or ends in
// it; else nothing.
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known);
// The same, but "; known: a, b, c" in place of nothing.
std::string DidYouMeanOrKnown(absl::string_view word, const std::vector<std::string>& known);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_WORDING_H_
