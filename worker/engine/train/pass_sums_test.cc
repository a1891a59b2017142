#include "worker/engine/train/pass_sums.h"

#include <gtest/gtest.h>

#include <latch>
#include <stdexcept>
#include <thread>

namespace qsweep::engine {
namespace {

class PassSumsTest : public testing::Test {
 protected:
  // A pass whose gradient and loss are `value`.
  void Add(int64_t pass, float value) {
    sums_.Add(pass, [value](Gradients& zeros) {
      zeros.sums()[0].add_(value);
      return value;
    });
  }

  const at::Tensor total_ = at::zeros({2});
  PassSums sums_{{total_}, /*lanes=*/2};
};

// In any other order the sum is 1: in fp32, 1e8 + 1 is 1e8.
TEST_F(PassSumsTest, AddsInThePassesOrder) {
  std::latch others_made(1);
  std::thread slow([&] {
    sums_.Add(0, [&](Gradients& zeros) {
      others_made.wait();
      zeros.sums()[0].add_(1e8f);
      return 1e8f;
    });
  });
  Add(2, -1e8f);
  Add(1, 1);
  EXPECT_EQ(sums_.loss(), 0);
  others_made.count_down();
  slow.join();
  EXPECT_TRUE(at::equal(total_, at::zeros({2}))) << total_;
  EXPECT_EQ(sums_.loss(), 1);  // in double
}

TEST_F(PassSumsTest, GivesEveryPassZeros) {
  for (int64_t pass = 0; pass < 3 * PassSums::Copies(2); ++pass) Add(pass, 1);
  EXPECT_EQ(total_[0].item<int64_t>(), 3 * PassSums::Copies(2));
}

TEST_F(PassSumsTest, LanesThatWaitForAFailedPassReturn) {
  std::latch others_made(1);
  std::thread failing([&] {
    EXPECT_THROW(sums_.Add(0,
                           [&](Gradients&) -> double {
                             others_made.wait();
                             throw std::runtime_error("no memory");
                           }),
                 std::runtime_error);
  });
  for (int64_t pass = 1; pass < PassSums::Copies(2); ++pass) Add(pass, 1);
  std::thread waiting([&] { Add(PassSums::Copies(2), 1); });
  others_made.count_down();
  failing.join();
  waiting.join();
  EXPECT_EQ(sums_.loss(), 0);
}

}  // namespace
}  // namespace qsweep::engine
