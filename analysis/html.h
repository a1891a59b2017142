// report.html: one page that needs nothing else, for a desk and for a phone.
#ifndef QSWEEP_ANALYSIS_HTML_H_
#define QSWEEP_ANALYSIS_HTML_H_

#include <string>
#include <vector>

#include "analysis/analysis.h"

namespace qsweep {

struct DrawnFigure {
  std::string title, caption;
  std::string svg;  // the file's content
};

// Summary in words, tables, figures, runs, what is missing. The page forbids itself every request.
std::string HtmlReport(const Analysis& analysis, const std::vector<DrawnFigure>& figures);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_HTML_H_
