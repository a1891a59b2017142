// Results of a sweep, summed up over seeds: one line for each configuration.
#ifndef QSWEEP_ANALYSIS_SUMMARY_H_
#define QSWEEP_ANALYSIS_SUMMARY_H_

#include <cstddef>
#include <map>
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

enum class MemoryKind { kWeights, kPeak };

// Mean peak of the group's results for each way in which they were computed (HowComputed).
std::map<std::string, double> Peaks(const Group& group, const std::vector<RunFacts>& runs);

// In the order of their first runs.
std::vector<Group> GroupBySeed(const std::vector<RunFacts>& runs);

// What a group is, and may share with the others: model, dataset, method and, with LoRA, rank.
struct GroupTrait {
  const char* title;
  std::string (*text)(const v1::GroupSummary&);
};
const std::vector<GroupTrait>& GroupTraits();

// What is learnt: the dataset, which of its classes, and where it lies if that is its own affair.
v1::Dataset Task(const v1::Dataset& dataset);

// Of each scope the quantization's label, "nf4", or, where another one of the same model and
// dataset has that label, too, what tells them apart with it, "nf4 (blocksize=128)",
// "nf4 (method=lora)".
std::vector<std::string> QuantizationNames(const std::vector<v1::ExperimentSpec>& scopes);

// path=value without the paths' sections: "training.learning_rate=0.1" is "learning_rate=0.1".
std::string WithoutSections(const std::string& differs);
// path=value of what tells each spec from the others and has no column of its own in tables;
// "" for none.
std::vector<std::string> Differences(const std::vector<v1::ExperimentSpec>& specs);
// The same of what is told by model, dataset and quantization alone: the method is named, too.
std::vector<std::string> ScopeDifferences(const std::vector<v1::ExperimentSpec>& scopes);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_SUMMARY_H_
