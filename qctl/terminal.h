// What the terminal (or file, or pipe) that is written to can show.
#ifndef QSWEEP_QCTL_TERMINAL_H_
#define QSWEEP_QCTL_TERMINAL_H_

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace qsweep::qctl {

enum class Ink { kPlain, kBold, kDim, kGreen, kRed, kYellow, kCyan };

// How to draw: colours, and the characters of the locale.
struct Style {
  bool color = false;
  bool utf8 = false;

  // Text in a colour, if there is colour.
  std::string Paint(Ink ink, absl::string_view text) const;
  // A bar of `width` columns, filled to `fraction` (clamped to 0..1).
  std::string Bar(double fraction, size_t width, Ink ink) const;
  // A curve in at most `width` columns, from its least to its greatest value; gaps where there is
  // no number.
  std::string Sparkline(const std::vector<double>& values, size_t width) const;
  const char* Ellipsis() const { return utf8 ? "…" : "..."; }
  const char* Dash() const { return utf8 ? "–" : "-"; }
  const char* Dot() const { return utf8 ? " · " : ", "; }
  const char* PlusMinus() const { return utf8 ? " ± " : " +- "; }
  const char* Minus() const { return utf8 ? "−" : "-"; }
  const char* Tick() const { return utf8 ? "✓" : "ok"; }
  const char* Cross() const { return utf8 ? "✗" : "x"; }
};

// Colour only on a terminal, without NO_COLOR (no-color.org), unless TERM is dumb; UTF-8 if the
// locale's character set is.
Style StyleOf(std::FILE* file);
bool IsTerminal(std::FILE* file);

struct Size {
  size_t columns = 80;
  size_t rows = 24;
};
// Of the terminal now; the default where it does not say.
Size SizeOf(std::FILE* file);

// A block of lines at the bottom of the terminal, redrawn in place. The last drawing stays. The
// cursor is hidden meanwhile.
class LiveBlock {
 public:
  explicit LiveBlock(std::FILE* file) : file_(file) {}
  ~LiveBlock() { Close(); }
  LiveBlock(const LiveBlock&) = delete;
  LiveBlock& operator=(const LiveBlock&) = delete;
  // Lines may not be wider than the terminal.
  void Draw(const std::vector<std::string>& lines);
  // Shows the cursor again and leaves what is drawn; a later Draw begins a new block.
  void Close();

 private:
  std::FILE* file_;
  size_t drawn_ = 0;  // lines
  bool open_ = false;
};

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_TERMINAL_H_
