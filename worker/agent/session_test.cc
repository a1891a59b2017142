#include "worker/agent/session.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace qsweep {
namespace {

TEST(BackoffTest, GrowsWithJitterToItsLimitAndBeginsAnew) {
  Backoff backoff;
  absl::Duration expected = absl::Milliseconds(100);
  for (int i = 0; i < 20; ++i) {
    const absl::Duration pause = backoff.Next();
    EXPECT_GE(pause, expected / 2);
    EXPECT_LE(pause, expected);
    expected = std::min(expected * 1.6, absl::Seconds(5));
  }
  EXPECT_GE(backoff.Next(), absl::Seconds(2.5));
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
}

}  // namespace
}  // namespace qsweep
