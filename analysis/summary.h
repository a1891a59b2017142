// Results of a sweep, summed up over seeds: one line for each configuration.
#ifndef QSWEEP_ANALYSIS_SUMMARY_H_
#define QSWEEP_ANALYSIS_SUMMARY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "analysis/run_facts.h"
#include "qsweep/v1/summary.pb.h"

namespace qsweep {

// Runs whose specs differ in the seed only.
struct Group {
  v1::ExperimentSpec spec;   // without the seed
  std::vector<size_t> runs;  // all of them, finished or not: indices, rising
  v1::GroupSummary summary;  // of those that have a result
};

// In the order of their first runs.
std::vector<Group> GroupBySeed(const std::vector<RunFacts>& runs);

// What a group is, and may share with the others: model, dataset, method and, with LoRA, rank.
struct GroupTrait {
  const char* title;
  std::string (*text)(const v1::GroupSummary&);
};
const std::vector<GroupTrait>& GroupTraits();

// path=value of what tells each spec from the others and has no column of its own in tables;
// "" for none.
std::vector<std::string> Differences(const std::vector<v1::ExperimentSpec>& specs);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_SUMMARY_H_
