#include "qctl/format.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/utf8.h"

namespace qsweep::qctl {
namespace {

// The first `n` code points.
absl::string_view Head(absl::string_view text, size_t n) {
  size_t at = 0;
  while (at < text.size() && (IsContinuation(text[at]) || n-- > 0)) ++at;
  return text.substr(0, at);
}

}  // namespace

std::string FormatBytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  const int digits = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  return absl::StrFormat("%.*f %s", digits, bytes, kUnits[unit]);
}

std::string FormatElapsed(absl::Duration duration) {
  const double seconds = absl::ToDoubleSeconds(duration);
  if (seconds < 9.95) return absl::StrFormat("%.1f s", std::max(0.0, seconds));
  const int64_t s = std::llround(std::min(seconds, 3.6e9));
  if (s < 60) return absl::StrCat(s, " s");
  if (s < 3600) return absl::StrCat(s / 60, " min ", s % 60, " s");
  if (s < 86400) return absl::StrCat(s / 3600, " h ", s / 60 % 60, " min");
  return absl::StrCat(s / 86400, " d ", s / 3600 % 24, " h");
}

std::string FormatCount(int64_t n) {
  std::string digits = absl::StrCat(n);
  for (int at = static_cast<int>(digits.size()) - 3; at > (n < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<size_t>(at), 1, ',');
  }
  return digits;
}

std::string FormatRate(double images_per_s) {
  if (images_per_s <= 0) return "";
  if (images_per_s >= 999.5) return absl::StrCat(FormatCount(std::llround(images_per_s)), " img/s");
  return absl::StrFormat("%.*f img/s", images_per_s < 99.95 ? 1 : 0, images_per_s);
}

std::string FormatPercent(double fraction, int digits) {
  return absl::StrFormat("%.*f %%", digits, fraction * 100);
}

std::string FormatNumber(double value) { return absl::StrFormat("%.6g", value); }

std::string FormatTime(int64_t unix_us) {
  if (unix_us == 0) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMicros(unix_us),
                          absl::LocalTimeZone());
}

std::string FormatClock(int64_t unix_us) {
  return absl::FormatTime("%H:%M:%S", absl::FromUnixMicros(unix_us), absl::LocalTimeZone());
}

std::string FormatSpan(int64_t from_us, int64_t to_us, int64_t now_us) {
  if (from_us == 0) return "";
  return FormatElapsed(absl::Microseconds((to_us == 0 ? now_us : to_us) - from_us));
}

std::string Plural(int64_t n, absl::string_view noun) {
  return absl::StrCat(FormatCount(n), " ", noun, n == 1 ? "" : "s");
}

v1::RunState SweepState(const v1::Sweep& sweep) {
  if (sweep.running() > 0) return v1::RUN_STATE_RUNNING;
  if (sweep.pending() > 0) return v1::RUN_STATE_PENDING;
  if (sweep.failed() > 0) return v1::RUN_STATE_FAILED;
  if (sweep.cancelled() > 0) return v1::RUN_STATE_CANCELLED;
  return v1::RUN_STATE_SUCCEEDED;
}

int EndedRuns(const v1::Sweep& sweep) {
  return sweep.succeeded() + sweep.failed() + sweep.cancelled();
}

int TotalRuns(const v1::Sweep& sweep) {
  return sweep.pending() + sweep.running() + EndedRuns(sweep);
}

std::string UnplaceableText(const v1::Sweep& sweep) {
  if (sweep.unplaceable() == 0) return "";
  return absl::StrCat(Plural(sweep.unplaceable(), "run"), " can run nowhere: ", sweep.waiting());
}

std::string Printable(absl::string_view text) {
  std::string safe(text);
  for (size_t i = 0; i < safe.size(); ++i) {
    const auto c = static_cast<unsigned char>(safe[i]);
    if (c < 0x20 || c == 0x7F) safe[i] = ' ';
    // U+0080..U+009F, control characters too, in UTF-8.
    if (c == 0xC2 && i + 1 < safe.size() && static_cast<unsigned char>(safe[i + 1]) < 0xA0) {
      safe[i] = safe[i + 1] = ' ';
    }
  }
  absl::StripTrailingAsciiWhitespace(&safe);
  return safe;
}

std::string PrintableLines(absl::string_view text) {
  return absl::StrJoin(
      absl::StrSplit(text, '\n'), "\n",
      [](std::string* out, absl::string_view line) { out->append(Printable(line)); });
}

size_t DisplayWidth(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuation(c); }));
}

std::string Fit(absl::string_view text, size_t width, absl::string_view ellipsis) {
  const size_t size = DisplayWidth(text), gap = DisplayWidth(ellipsis);
  if (size <= width) return std::string(text);
  if (width <= gap) return std::string(Head(ellipsis, width));
  const size_t tail = (width - gap) / 2, head = width - gap - tail;
  return absl::StrCat(Head(text, head), ellipsis, text.substr(Head(text, size - tail).size()));
}

std::string Cut(absl::string_view text, size_t width, absl::string_view ellipsis) {
  if (DisplayWidth(text) <= width) return std::string(text);
  const size_t gap = DisplayWidth(ellipsis);
  if (width <= gap) return std::string(Head(ellipsis, width));
  return absl::StrCat(Head(text, width - gap), ellipsis);
}

}  // namespace qsweep::qctl
