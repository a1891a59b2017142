// Figures as gnuplot scripts, and gnuplot run on them.
#ifndef QSWEEP_ANALYSIS_FIGURES_FIGURE_H_
#define QSWEEP_ANALYSIS_FIGURES_FIGURE_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "analysis/output_directory.h"

namespace qsweep {

// What a figure shows, apart from size and file format.
struct Figure {
  std::string name;     // of its files
  std::string title;    // in a few words
  std::string caption;  // what is drawn, what error bars and bands mean, what was left out
  std::string data;     // data blocks that the panels name
  std::vector<std::string> panels;  // gnuplot commands, each ending in one plot
  int columns = 2;  // of panels over the width of a page; one column in the other size
  double panel_height_in = 2.3;
};

// 'text', for gnuplot, which then draws it as it is; line breaks stay, other control characters
// become spaces.
std::string GnuplotText(absl::string_view text);
// "text" as a string in a line of data, where the two characters \n break a line.
std::string DataText(absl::string_view text);
// In lines of at most `width` bytes: broken after ", ", ": " and " · ", and what is longer cut
// short in its middle.
std::string Wrapped(absl::string_view text, size_t width);
// A number that gnuplot reads; NaN for a gap.
std::string DataNumber(double value);

// The values along an axis, for tics that do not crowd: gnuplot itself does not look at their
// width.
class Extent {
 public:
  void Add(double value);
  // 1, 2 or 5 times a power of ten, for at most six tics over the values; 0 if they are all one.
  double Step() const;
  // "set xtics 5" for axis "x".
  std::string Tics(absl::string_view axis, double least_step = 0) const;

 private:
  double low_ = 0, high_ = 0;
  bool any_ = false;
};

// How the curves, points and bars of each label look: the usual quantizations always in the same
// way, any other in a way that no label before it has.
class Palette {
 public:
  std::string ColorOf(const std::string& label) { return LookOf(label).color; }
  // "lc rgb '#0072B2' pt 5".
  std::string StyleOf(const std::string& label);

 private:
  struct Look {
    const char* color;
    int point;
  };
  const Look& LookOf(const std::string& label);

  // Okabe and Ito's colours, told apart by the colour-blind too; gnuplot's filled points: disc,
  // square, triangles, diamond.
  std::map<std::string, Look> looks_ = {{"none", {"#000000", 7}},
                                        {"int8", {"#0072B2", 5}},
                                        {"nf4", {"#E69F00", 9}},
                                        {"nf4+dq", {"#D55E00", 11}},
                                        {"fp4", {"#009E73", 13}}};
  size_t others_ = 0;
};

// FailedPrecondition, with the remedy, if there is no gnuplot.
absl::StatusOr<std::string> FindGnuplot();

// figures/NAME.gp and what it draws: NAME.EXT and NAME-single.EXT, EXT being pdf, svg and
// png, at page width (6.9 in) and column width (3.35 in), 8 point type.
absl::Status RenderFigure(const std::string& gnuplot, const Figure& figure, OutputDirectory& out);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_FIGURES_FIGURE_H_
