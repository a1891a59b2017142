// What the page and the paper both show, before either's markup.
#ifndef QSWEEP_ANALYSIS_SHOWN_H_
#define QSWEEP_ANALYSIS_SHOWN_H_

#include <string>
#include <vector>

#include "analysis/report.h"

namespace qsweep {

struct Setting {
  std::string name, value;
};
// What was trained and how, as far as all runs share it: the results say where they differ.
std::vector<Setting> SharedSettings(const Analysis& analysis);

// Whether the value tells a reader anything. A share beyond +-1000 % comes of a division by next to
// nothing.
bool IsTelling(const v1::Expectation& expectation, double value);
// One that is wider than a point, between values that tell something.
bool HasTellingInterval(const v1::Expectation& expectation);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_SHOWN_H_
