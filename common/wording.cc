#include "common/wording.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace qsweep {
namespace {

constexpr size_t kMaxShown = 60;

// Optimal string alignment: insertions, deletions, substitutions, swaps of neighbours.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string Shown(absl::string_view text) {
  return absl::StrCat(absl::CHexEscape(text.substr(0, kMaxShown)),
                      text.size() > kMaxShown ? "..." : "");
}

std::string Quoted(absl::string_view text) { return absl::StrCat("'", Shown(text), "'"); }

std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known) {
  const std::string* best = nullptr;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  if (word.size() <= kMaxShown) {
    for (const std::string& candidate : known) {
      const size_t distance = EditDistance(word, candidate);
      if (distance < best_distance) {
        best_distance = distance;
        best = &candidate;
      }
    }
  }
  for (size_t i = 0; best == nullptr && word.size() >= 3 && i < known.size(); ++i) {
    const bool part = absl::StartsWith(known[i], word) ||
                      absl::EndsWith(known[i], absl::StrCat("_", word)) ||  // epochs, num_epochs
                      absl::EndsWith(known[i], absl::StrCat(".", word));    // rank, lora.rank
    if (part) best = &known[i];
  }
  return best == nullptr ? "" : absl::StrCat("; did you mean ", *best, "?");
}

std::string DidYouMeanOrKnown(absl::string_view word, const std::vector<std::string>& known) {
  const std::string hint = DidYouMean(word, known);
  return hint.empty() ? absl::StrCat("; known: ", absl::StrJoin(known, ", ")) : hint;
}

}  // namespace qsweep
