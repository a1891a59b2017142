// The report for a paper: results.tex, which compiles by itself, and the pieces it is made of.
#ifndef QSWEEP_ANALYSIS_LATEX_H_
#define QSWEEP_ANALYSIS_LATEX_H_

#include <string>
#include <vector>

#include "analysis/analysis.h"
#include "analysis/figures/figure.h"

namespace qsweep {

struct LatexFile {
  std::string name;  // relative to the report
  std::string text;
};

// results.tex, tables/macros.tex (a \newcommand for every number quoted, \qs + configuration +
// what), tables/{setting,results,comparisons,comparisons_by_adapter,expectations,literature}.tex
// (booktabs) and references.bib.
// pdflatex needs the packages booktabs, graphicx and url; `figures` are those that were drawn.
std::vector<LatexFile> LatexFiles(const Analysis& analysis, const std::vector<Figure>& figures);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_LATEX_H_
