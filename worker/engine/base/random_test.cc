#include "worker/engine/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace qsweep::engine {
namespace {

using Words = std::array<uint32_t, 4>;

// The known answers of philox4x32-10 in Random123's examples/kat_vectors.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox({0, 0}, {0, 0, 0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox({~0u, ~0u}, {~0u, ~0u, ~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(MakeKey, DistinctUsesHaveDistinctKeys) {
  std::set<std::pair<uint32_t, uint32_t>> keys;
  for (uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{42}, uint64_t{1} << 32}) {
    for (uint32_t purpose = 1; purpose <= 5; ++purpose) {
      for (uint32_t module = 0; module < 50; ++module) {
        const PhiloxKey key = MakeKey(seed, static_cast<Purpose>(purpose), module);
        EXPECT_TRUE(keys.insert({key.k0, key.k1}).second);
      }
    }
  }
}

TEST(RandomStream, IsTheDocumentedFunctionOfItsPlace) {
  const PhiloxKey key = MakeKey(42, Purpose::kLoraDropout, 3);
  RandomStream stream(key, (uint64_t{7} << 32) | 5, 11);
  for (uint32_t block = 0; block < 3; ++block) {
    for (uint32_t word : Philox(key, {block, 11, 5, 7})) EXPECT_EQ(stream.NextUint32(), word);
  }
}

TEST(RandomStream, NextBelowIsUniform) {
  RandomStream stream(MakeKey(1, Purpose::kBenchmark), 0, 0);
  constexpr int kDraws = 60000, kSides = 6;
  std::vector<int> counts(kSides);
  for (int i = 0; i < kDraws; ++i) ++counts.at(stream.NextBelow(kSides));
  double chi2 = 0;
  for (int count : counts) chi2 += std::pow(count - kDraws / kSides, 2) / (kDraws / kSides);
  EXPECT_LT(chi2, 20.5);  // 0.1 % point at 5 degrees of freedom; the draws are fixed
  for (int i = 0; i < 100; ++i) EXPECT_EQ(stream.NextBelow(1), 0u);
}

// Three standard errors, of draws that are the same in every run.
TEST(RandomStream, FloatsAndNormalsHaveTheirMoments) {
  RandomStream stream(MakeKey(2, Purpose::kBenchmark), 0, 0);
  constexpr int kDraws = 100000;
  double sum = 0, normal_sum = 0, normal_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const float uniform = stream.NextFloat();
    ASSERT_GE(uniform, 0.f);
    ASSERT_LT(uniform, 1.f);
    sum += uniform;
    const float normal = stream.NextNormal();
    ASSERT_TRUE(std::isfinite(normal));
    normal_sum += normal;
    normal_squares += normal * normal;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 3 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(normal_sum / kDraws, 0, 3 * std::sqrt(1.0 / kDraws));
  EXPECT_NEAR(normal_squares / kDraws, 1, 3 * std::sqrt(2.0 / kDraws));
}

}  // namespace
}  // namespace qsweep::engine
