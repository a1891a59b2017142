// Memory against accuracy: which configurations nothing else beats.
#ifndef QSWEEP_ANALYSIS_PARETO_H_
#define QSWEEP_ANALYSIS_PARETO_H_

#include <vector>

#include "analysis/summary.h"
#include "qsweep/v1/report.pb.h"

namespace qsweep {

// One front for each model and task with a result, in the order of the groups; of peaks, for each
// way of computing (HowComputed), too, with the mean peak of the group's results of that way. A
// group dominates another if it has no more bytes and no less top-1 (means over seeds) and is
// better in one of them, however little: peaks vary by about 1 % between runs. The reference point
// of the hypervolume is the largest memory at chance, 1 / `classes of dataset`; unset where that is
// not known.
std::vector<v1::ParetoFront> ParetoFronts(const std::vector<RunFacts>& runs,
                                          const std::vector<Group>& groups, MemoryKind kind);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_PARETO_H_
