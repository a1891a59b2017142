// Values as people read them.
#ifndef QSWEEP_QCTL_FORMAT_H_
#define QSWEEP_QCTL_FORMAT_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/state_names.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::qctl {

std::string FormatBytes(double bytes);  // 3.85 MB (decimal, as the papers)
std::string FormatBytes(std::integral auto bytes) {
  return FormatBytes(static_cast<double>(bytes));
}
std::string FormatElapsed(absl::Duration duration);          // 1 h 12 min, 4 min 3 s, 12 s, 0.4 s
std::string FormatCount(int64_t n);                          // 12,400
std::string FormatRate(double images_per_s);                 // 67.2 img/s; empty for 0
std::string FormatPercent(double fraction, int digits = 1);  // 93.1 %
std::string FormatNumber(double value);                      // at most 6 significant digits
// 2026-11-24 15:34:01 in the local time zone; empty for 0.
std::string FormatTime(int64_t unix_us);
std::string FormatClock(int64_t unix_us);  // 15:34:01
// From one clock reading to the other; "" if the first is 0. A second one of 0 means `now_us`.
std::string FormatSpan(int64_t from_us, int64_t to_us, int64_t now_us);
// "1 run", "12 runs".
std::string Plural(int64_t n, absl::string_view noun);

// Of a whole sweep: pending, running, succeeded, failed (some runs did), cancelled.
v1::RunState SweepState(const v1::Sweep& sweep);
int TotalRuns(const v1::Sweep& sweep);
int EndedRuns(const v1::Sweep& sweep);
// "3 runs can run nowhere: ..."; empty if there is none that no connected worker could ever take.
std::string UnplaceableText(const v1::Sweep& sweep);

// Text from elsewhere made safe for a terminal: control characters, line breaks too, become spaces,
// and spaces at its end go.
std::string Printable(absl::string_view text);
// The same of each of its lines.
std::string PrintableLines(absl::string_view text);
// Columns the text takes: its code points (no wide characters are printed here).
size_t DisplayWidth(absl::string_view text);
// At most `width` columns; what does not fit is taken from the middle (Fit) or the end (Cut), and
// `ellipsis` stands for it.
std::string Fit(absl::string_view text, size_t width, absl::string_view ellipsis);
std::string Cut(absl::string_view text, size_t width, absl::string_view ellipsis);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_FORMAT_H_
