#ifndef QSWEEP_TESTS_SIMULATION_SIMULATION_H_
#define QSWEEP_TESTS_SIMULATION_SIMULATION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "tests/simulation/world.h"

namespace qsweep::simulation {

struct Report {
  absl::Status status;  // what was violated first
  int64_t events = 0;
  uint64_t fingerprint = 0;  // of all that happened: equal for equal seeds
};

// One world from beginning to end, in about 0.1 s. What the scheduler logs is thrown away unless
// `log`.
Report Simulate(uint64_t seed, Bug bug = Bug::kNone, bool log = false);

}  // namespace qsweep::simulation

#endif  // QSWEEP_TESTS_SIMULATION_SIMULATION_H_
