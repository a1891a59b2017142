// The figures of a report.
#ifndef QSWEEP_ANALYSIS_FIGURES_FIGURES_H_
#define QSWEEP_ANALYSIS_FIGURES_FIGURES_H_

#include <vector>

#include "analysis/analysis.h"
#include "analysis/figures/figure.h"

namespace qsweep {

// At most so many panels, curves in a panel and rows; a caption says what is left out.
inline constexpr size_t kMaxPanels = 8;
inline constexpr size_t kMaxCurves = 8;
inline constexpr size_t kMaxRows = 36;

// All that there is data for, in the order in which a reader wants them.
std::vector<Figure> MakeFigures(const Analysis& analysis);

// One each; no panels if there is nothing to draw.
Figure ParetoFigure(const Analysis& analysis);
Figure DifferenceFigure(const Analysis& analysis);
Figure ConvergenceFigure(const Analysis& analysis);
Figure LiteratureComparison(const Analysis& analysis);
Figure MemoryFigure(const Analysis& analysis);
Figure ThroughputFigure(const Analysis& analysis);
Figure GradientFigure(const Analysis& analysis);
Figure LayerErrorFigure(const Analysis& analysis);
Figure SensitivityFigure(const Analysis& analysis);
Figure BlockGradientFigure(const Analysis& analysis);

// Groups that differ in the quantization only, in the order of their first runs; those without a
// result are left out.
struct Family {
  std::string title;  // what tells it from the other families; all of it if there is one alone
  std::vector<const Group*> groups;
  std::vector<std::string> names;  // QuantizationNames of the groups
};
std::vector<Family> Families(const Analysis& analysis);

// "set title ...", in as many lines as a panel needs.
std::string PanelTitle(const std::string& title);

// "mean low high" in percent, cut to what there can be, from `least` (0 of a share, -1 of a
// difference of shares) to 1; the mean itself where there is no interval.
std::string WithInterval(const v1::Statistic& s, double least);

// With the quantizations of all groups, so that they look the same in all figures.
Palette PaletteOf(const Analysis& analysis);

// " The first 6 of 9 are shown.", or nothing.
std::string LeftOut(size_t shown, size_t all);
// Of curves, in all families; or nothing.
std::string CurvesLeftOut(const std::vector<Family>& families);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_FIGURES_FIGURES_H_
