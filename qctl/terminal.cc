#include "qctl/terminal.h"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace qsweep::qctl {
namespace {

absl::string_view Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

const char* Code(Ink ink) {
  switch (ink) {
    case Ink::kPlain:
      return "";
    case Ink::kBold:
      return "1";
    case Ink::kDim:
      return "2";
    case Ink::kGreen:
      return "32";
    case Ink::kRed:
      return "31";
    case Ink::kYellow:
      return "33";
    case Ink::kCyan:
      return "36";
  }
  return "";
}

std::string Repeat(absl::string_view text, size_t n) {
  std::string all;
  for (size_t i = 0; i < n; ++i) absl::StrAppend(&all, text);
  return all;
}

}  // namespace

std::string Style::Paint(Ink ink, absl::string_view text) const {
  if (!color || ink == Ink::kPlain || text.empty()) return std::string(text);
  return absl::StrCat("\x1b[", Code(ink), "m", text, "\x1b[0m");
}

std::string Style::Bar(double fraction, size_t width, Ink ink) const {
  if (!(fraction > 0)) fraction = 0;  // NaN too
  fraction = std::min(fraction, 1.0);
  if (!utf8) {
    const size_t full = static_cast<size_t>(fraction * static_cast<double>(width));
    return absl::StrCat(Paint(ink, Repeat("#", full)), Paint(Ink::kDim, Repeat(".", width - full)));
  }
  // Half a column is the finest step that the line-drawing characters have.
  const size_t halves = static_cast<size_t>(fraction * static_cast<double>(2 * width));
  const size_t full = halves / 2, half = halves % 2;
  return absl::StrCat(Paint(ink, absl::StrCat(Repeat("━", full), half ? "╸" : "")),
                      Paint(Ink::kDim, Repeat("─", width - full - half)));
}

bool IsTerminal(std::FILE* file) { return ::isatty(::fileno(file)) == 1; }

std::string Style::Sparkline(const std::vector<double>& values, size_t width) const {
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr const char* kAscii[] = {"_", ".", ",", "-", "~", "=", "*", "#"};
  double least = INFINITY, greatest = -INFINITY;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  }
  const size_t columns = std::min(width, values.size());
  std::string line;
  for (size_t c = 0; c < columns; ++c) {
    double sum = 0;
    int n = 0;
    for (size_t i = c * values.size() / columns; i < (c + 1) * values.size() / columns; ++i) {
      if (!std::isfinite(values[i])) continue;
      sum += values[i];
      ++n;
    }
    if (n == 0) {
      line.push_back(' ');
      continue;
    }
    const double height = greatest > least ? (sum / n - least) / (greatest - least) : 0.5;
    const size_t level = std::min<size_t>(7, static_cast<size_t>(8 * height));
    line.append(utf8 ? kBlocks[level] : kAscii[level]);
  }
  return line;
}

Style StyleOf(std::FILE* file) {
  Style style;
  style.color = IsTerminal(file) && Variable("NO_COLOR").empty() && Variable("TERM") != "dumb" &&
                !Variable("TERM").empty();
  style.utf8 = absl::string_view(::nl_langinfo(CODESET)) == "UTF-8";
  return style;
}

Size SizeOf(std::FILE* file) {
  Size size;
  winsize window{};
  if (::ioctl(::fileno(file), TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0) {
    size.columns = window.ws_col;
    size.rows = window.ws_row;
  }
  return size;
}

void LiveBlock::Draw(const std::vector<std::string>& lines) {
  std::string out = open_ ? "" : "\x1b[?25l";
  if (drawn_ > 0) absl::StrAppend(&out, "\x1b[", drawn_, "A\r");
  for (const std::string& line : lines) absl::StrAppend(&out, line, "\x1b[K\n");
  absl::StrAppend(&out, "\x1b[J");  // what a longer drawing left below
  std::fputs(out.c_str(), file_);
  std::fflush(file_);
  drawn_ = lines.size();
  open_ = true;
}

void LiveBlock::Close() {
  if (!open_) return;
  std::fputs("\x1b[?25h", file_);
  std::fflush(file_);
  open_ = false;
  drawn_ = 0;
}

}  // namespace qsweep::qctl
