// Published figures to print beside ours, with where they stand.
#ifndef QSWEEP_ANALYSIS_LITERATURE_H_
#define QSWEEP_ANALYSIS_LITERATURE_H_

#include "qsweep/v1/report.pb.h"

namespace qsweep {

// analysis/literature.json, as the binary was built with it.
const v1::Literature& PublishedFigures();

// analysis/references.bib: an entry for every `cite` above, and for the methods used.
extern const char* const kReferencesBib;

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_LITERATURE_H_
