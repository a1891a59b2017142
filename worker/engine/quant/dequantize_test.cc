#include "worker/engine/quant/dequantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "common/quant/codes.h"
#include "worker/engine/base/random.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kElementBytes[] = {4, 2, 2};
constexpr char kGuard = 0x5a;

// Scales of every size that a float has, zero, and such as make subnormal and infinite 16-bit
// numbers.
float AnyScale(RandomStream& random) {
  if (random.NextBelow(10) == 0) return 0;
  return std::ldexp(0.5f + random.NextFloat() / 2, static_cast<int>(random.NextBelow(250)) - 125);
}

// What `kernel(out)` writes, into a buffer with a guard behind it that must live.
template <typename Kernel>
std::string OutputOf(int64_t bytes, const Kernel& kernel) {
  std::string out(static_cast<size_t>(bytes) + 64, kGuard);
  kernel(out.data());
  EXPECT_EQ(out.substr(static_cast<size_t>(bytes)), std::string(64, kGuard))
      << "wrote beyond the end";
  return out.substr(0, static_cast<size_t>(bytes));
}

class KernelTest : public testing::TestWithParam<std::tuple<std::string, int>> {
 protected:
  const DequantizeKernels& Kernels() {
    for (const DequantizeKernels& kernels : UsableDequantizeKernels()) {
      if (kernels.instruction_set == std::get<0>(GetParam())) return kernels;
    }
    return kScalarKernels;  // SetUp has skipped
  }
  void SetUp() override {
    if (Kernels().instruction_set != std::get<0>(GetParam())) {
      GTEST_SKIP() << "this processor has no " << std::get<0>(GetParam());
    }
  }
  const int type_ = std::get<1>(GetParam());
};

TEST_P(KernelTest, FourBitEqualsTheScalarReference) {
  RandomStream random(MakeKey(1, Purpose::kBenchmark), 0, 0);
  for (int64_t blocksize : {32, 64, 96, 128, 4096}) {
    for (int64_t count : {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 191, 192, 1000, 4097}) {
      // Heap blocks of the exact size, so that the sanitizers see a read beyond them.
      std::vector<uint8_t> packed((count + 1) / 2);
      for (uint8_t& byte : packed) byte = static_cast<uint8_t>(random.NextUint32());
      std::vector<float> scales((count + blocksize - 1) / blocksize);
      for (float& scale : scales) scale = AnyScale(random);
      for (const auto* table : {&kNf4Values, &kFp4Values}) {
        const auto run = [&](FourBitKernel kernel) {
          return OutputOf(count * kElementBytes[type_], [&](void* out) {
            kernel(packed.data(), scales.data(), table->data(), count, blocksize, out);
          });
        };
        EXPECT_EQ(run(Kernels().four_bit[type_]), run(kScalarKernels.four_bit[type_]))
            << "count " << count << " blocksize " << blocksize;
      }
    }
  }
}

TEST_P(KernelTest, EightBitEqualsTheScalarReference) {
  RandomStream random(MakeKey(2, Purpose::kBenchmark), 0, 0);
  for (int64_t count : {1, 7, 8, 15, 16, 17, 31, 32, 192, 1001}) {
    for (int repeat = 0; repeat < 50; ++repeat) {
      std::vector<int8_t> codes(count);
      for (int8_t& code : codes) code = static_cast<int8_t>(random.NextUint32());
      const float scale = AnyScale(random);
      const auto run = [&](EightBitKernel kernel) {
        return OutputOf(count * kElementBytes[type_],
                        [&](void* out) { kernel(codes.data(), scale, count, out); });
      };
      EXPECT_EQ(run(Kernels().eight_bit[type_]), run(kScalarKernels.eight_bit[type_])) << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, KernelTest,
                         testing::Combine(testing::Values("avx2", "avx512"),
                                          testing::Range(0, kOutTypes)));

}  // namespace
}  // namespace qsweep::engine
