#include "worker/engine/base/allocator.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

namespace qsweep::engine {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class AllocatorTest : public testing::Test {
 protected:
  void SetUp() override {
    InstallAllocator();
    SetMemoryLimit(0);
    ReleaseCached();
    ResetPeak();
    before_ = CurrentMemory();
  }
  void TearDown() override { SetMemoryLimit(0); }
  MemoryUse before_;
};

TEST_F(AllocatorTest, ChargesTheScopeThatAskedAndCountsBytesAsAskedFor) {
  at::Tensor weights, activation;
  {
    AccountScope outer(Account::kWeights);
    weights = at::empty({1000}, at::kFloat);
    {
      AccountScope inner(Account::kActivations);
      activation = at::empty({3}, at::kByte);
    }
    EXPECT_EQ(CurrentMemory()[Account::kWeights] - before_[Account::kWeights], 4000);
  }
  EXPECT_EQ(CurrentMemory()[Account::kActivations] - before_[Account::kActivations], 3);
  EXPECT_EQ(CurrentMemory().total_bytes - before_.total_bytes, 4003);
  weights.reset();  // outside its scope: goes off the account it was made under
  EXPECT_EQ(CurrentMemory()[Account::kWeights], before_[Account::kWeights]);
  EXPECT_EQ(CurrentMemory().total_peak_bytes - before_.total_bytes, 4003);
  ResetPeak();
  EXPECT_EQ(CurrentMemory().total_peak_bytes - before_.total_bytes, 3);
}

TEST_F(AllocatorTest, EverySizeIsAlignedWritableAndReused) {
  ReleaseCached();
  const int64_t held = CurrentMemory().held_bytes;
  for (int64_t bytes :
       {1, 63, 64, 65, 4096, 100000, 2097087, 2097088, 2097152, 5000001, 33554433}) {
    at::Tensor tensor = at::empty({bytes}, at::kByte);
    void* const data = tensor.data_ptr();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u) << bytes;
    tensor.fill_(1);
    tensor.reset();
    EXPECT_GE(CurrentMemory().cached_bytes, bytes);
    EXPECT_EQ(CurrentMemory().held_bytes, held + CurrentMemory().cached_bytes) << bytes;
    EXPECT_LE(CurrentMemory().cached_bytes, (bytes + 64) * 9 / 8 + 64) << "rounding beyond 12.5 %";
    tensor = at::empty({bytes}, at::kByte);
    EXPECT_EQ(tensor.data_ptr(), data) << bytes;
    EXPECT_EQ(CurrentMemory().cached_bytes, 0);
    tensor.reset();
    ReleaseCached();
    EXPECT_EQ(CurrentMemory().cached_bytes, 0);
    EXPECT_EQ(CurrentMemory().held_bytes, held) << bytes;
  }
}

TEST_F(AllocatorTest, EmptyTensorsCostNothing) {
  at::Tensor empty = at::empty({0}, at::kFloat);
  EXPECT_EQ(CurrentMemory().total_bytes, before_.total_bytes);
}

TEST_F(AllocatorTest, RefusesToExceedTheLimitAndGoesOn) {
  SetMemoryLimit(before_.total_bytes + 10 * kMiB);
  at::Tensor six = at::empty({6 * kMiB}, at::kByte);
  try {
    at::empty({5 * kMiB}, at::kByte);
    FAIL() << "no exception";
  } catch (const OutOfMemory& error) {
    EXPECT_NE(std::string(error.what()).find("5242880"), std::string::npos) << error.what();
  }
  at::Tensor four = at::empty({4 * kMiB}, at::kByte);  // live bytes decide, to the byte
  EXPECT_THROW(at::empty({1}, at::kByte), OutOfMemory);
}

TEST_F(AllocatorTest, GivesCachedBlocksBackBeforeItRefuses) {
  SetMemoryLimit(before_.total_bytes + 10 * kMiB);
  at::empty({6 * kMiB}, at::kByte);
  EXPECT_GE(CurrentMemory().cached_bytes, 6 * kMiB);
  at::Tensor nine = at::empty({9 * kMiB}, at::kByte);
  EXPECT_EQ(CurrentMemory().cached_bytes, 0);
}

TEST_F(AllocatorTest, ChangingShapesDoNotGrowTheCacheForEver) {
  int64_t highest = 0;  // live and cached
  for (int64_t size = 100; size < 200; ++size) {
    at::empty({size * kMiB / 2}, at::kByte);
    highest = std::max(highest, CurrentMemory().total_bytes + CurrentMemory().cached_bytes);
  }
  EXPECT_LE(highest, 100 * kMiB * 5 / 4 + 13 * kMiB);  // and the rounding of one block
}

TEST_F(AllocatorTest, ImpossibleSizesAreOutOfMemory) {
  EXPECT_THROW(at::empty({int64_t{1} << 45}, at::kByte), OutOfMemory);  // no machine maps 32 TiB
  EXPECT_THROW(at::empty({int64_t{1} << 61}, at::kByte), OutOfMemory);
}

// What halving the micro-batch rests on: the exception keeps its type through autograd.
TEST_F(AllocatorTest, OutOfMemoryComesThroughBackward) {
  at::Tensor x = at::ones({kMiB}).requires_grad_();
  at::Tensor y = (x.exp() * x).sum();
  SetMemoryLimit(CurrentMemory().total_bytes + kMiB);
  EXPECT_THROW(y.backward(), OutOfMemory);
}

TEST_F(AllocatorTest, IsThreadSafe) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      AccountScope scope(t % 2 == 0 ? Account::kGradients : Account::kOptimizer);
      std::vector<at::Tensor> kept(16);
      for (int i = 0; i < 5000; ++i)
        kept[i % 16] = at::empty({(i * 37 + t) % 5000 + 1}, at::kFloat);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CurrentMemory().total_bytes, before_.total_bytes);
  EXPECT_EQ(CurrentMemory()[Account::kGradients], before_[Account::kGradients]);
}

}  // namespace
}  // namespace qsweep::engine
