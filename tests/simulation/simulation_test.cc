// `simulate` (simulate.cc) does the same for as many seeds as one likes.
#include "tests/simulation/simulation.h"

#include <gtest/gtest.h>

namespace qsweep::simulation {
namespace {

TEST(Simulation, ThreeHundredSeeds) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    const Report report = Simulate(seed);
    EXPECT_TRUE(report.status.ok()) << "seed " << seed << ": " << report.status;
  }
}

TEST(Simulation, ASeedReplaysExactly) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Report once = Simulate(seed), again = Simulate(seed);
    EXPECT_EQ(once.fingerprint, again.fingerprint) << "seed " << seed;
    EXPECT_EQ(once.events, again.events) << "seed " << seed;
    EXPECT_NE(once.fingerprint, Simulate(seed + 100).fingerprint);
  }
}

// The first seed that finds it; 0: none of a hundred.
uint64_t Finds(Bug bug) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    if (!Simulate(seed, bug).status.ok()) return seed;
  }
  return 0;
}

TEST(Simulation, FindsASkippedFence) { EXPECT_NE(Finds(Bug::kSkipFence), 0u); }

TEST(Simulation, FindsAnAcknowledgementBeforeTheCommit) {
  EXPECT_NE(Finds(Bug::kAcknowledgeTooEarly), 0u);
}

}  // namespace
}  // namespace qsweep::simulation
