// Sweeps for tests: what a scheduler would hold, made up.
#ifndef QSWEEP_ANALYSIS_TESTING_H_
#define QSWEEP_ANALYSIS_TESTING_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "analysis/run_files.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::testing {

struct TestSweep {
  v1::Sweep sweep;
  std::vector<RunRecord> records;
  std::vector<v1::Run> Runs() const;
  RunReader Reader() const;
};

// DeiT-tiny on CIFAR-10: {none, int8, nf4, nf4+dq} x `ranks` x `seeds`, with curves of `points`
// points. All succeeded.
TestSweep MakeSweep(const std::vector<int>& ranks, int seeds, int points);

// The last run failed, the one before it has not begun.
TestSweep MakeUnfinishedSweep();

// A run of method sensitivity: int8 and nf4, each worse in later blocks.
void AddSensitivityRun(TestSweep* test);

// JSON Schema (draft 2020-12) of what PlainJson (json.h) writes for messages of this type.
std::string JsonSchema(const google::protobuf::Descriptor& type, const std::string& title);

}  // namespace qsweep::testing

#endif  // QSWEEP_ANALYSIS_TESTING_H_
