// What is shown in more than one place, before any markup.
#ifndef QSWEEP_ANALYSIS_SHOWN_H_
#define QSWEEP_ANALYSIS_SHOWN_H_

#include <string>
#include <vector>

#include "analysis/analysis.h"

namespace qsweep {

struct Setting {
  std::string name, value;
};
// What was trained and how, as far as all runs share it: the results say where they differ.
std::vector<Setting> SharedSettings(const Analysis& analysis);

// "norm 0.41 (sd 0.08), stability 0.83, exploding in 1 window, dead: blocks.3.attn.qkv".
std::string GradientText(const v1::GradientSummary& gradients);
// "top-1 within 1 % of its best from epoch 4, lowest loss in epoch 5; ..."; empty of one epoch.
std::string ConvergenceText(const v1::RunResult& result);

// Whether the value tells a reader anything. A share beyond +-1000 % comes of a division by next to
// nothing.
bool IsTelling(const v1::Expectation& expectation, double value);
// One that is wider than a point, between values that tell something.
bool HasTellingInterval(const v1::Expectation& expectation);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_SHOWN_H_
