#include "worker/engine/train/pass_sums.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>

namespace qsweep::engine {
namespace {

constexpr int64_t kLanes = 2;

void WorkOfTwo(PassSums& sums, const PassSums::Make& make) {
  std::thread other([&] { sums.Work(make); });
  sums.Work(make);
  other.join();
}

// In any other order the sum is 1: in fp32, 1e8 + 1 is 1e8.
TEST(PassSums, AddsInThePassesOrder) {
  const float values[] = {1e8f, 1, -1e8f};
  const at::Tensor total = at::zeros({2});
  PassSums sums({total}, kLanes, 3);
  std::latch others_made(2);
  WorkOfTwo(sums, [&](int64_t pass, Gradients& zeros) {
    zeros.sums()[0].add_(values[pass]);
    if (pass == 0) {
      others_made.wait();
    } else {
      others_made.count_down();
    }
    return values[pass];
  });
  EXPECT_TRUE(at::equal(total, at::zeros({2}))) << total;
  EXPECT_EQ(sums.loss(), 1);  // in double
}

TEST(PassSums, EveryPassIsMadeOnceFromZeros) {
  const at::Tensor total = at::zeros({2});
  PassSums sums({total}, kLanes, 100);
  WorkOfTwo(sums, [](int64_t pass, Gradients& zeros) {
    EXPECT_FALSE(zeros.sums()[0].any().item<bool>());
    zeros.sums()[0].add_(1);
    return static_cast<double>(pass);
  });
  EXPECT_EQ(total[0].item<int64_t>(), 100);
  EXPECT_EQ(sums.loss(), 99 * 100 / 2);
}

// The other lane has made what there is memory for, and waits for the first pass.
TEST(PassSums, ALaneThatWaitsForAFailedPassReturns) {
  PassSums sums({at::zeros({2})}, kLanes, 100);
  std::latch others_made(PassSums::Copies(kLanes) - 1);
  std::atomic<int> thrown = 0;
  const auto work = [&] {
    try {
      sums.Work([&](int64_t pass, Gradients&) {
        if (pass > 0) return others_made.count_down(), 0.;
        others_made.wait();
        throw std::runtime_error("no memory");
      });
    } catch (const std::runtime_error&) {
      ++thrown;
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(thrown, 1);
  EXPECT_EQ(sums.loss(), 0);
}

}  // namespace
}  // namespace qsweep::engine
