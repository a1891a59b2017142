#include "worker/engine/base/random.h"

#include <cmath>
#include <numbers>

namespace qsweep::engine {
namespace {

// The finalizer of SplitMix64 (Steele et al., OOPSLA 2014): a bijection whose output bits each
// depend on every input bit.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

PhiloxKey MakeKey(uint64_t seed, Purpose purpose, uint32_t module) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  const uint64_t use = (uint64_t{static_cast<uint32_t>(purpose)} << 32) | module;
  const uint64_t hash = Mix(Mix(seed + kGolden) + use * kGolden);
  return {static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)};
}

std::array<uint32_t, 4> Philox(PhiloxKey key, std::array<uint32_t, 4> counter) {
  auto [c0, c1, c2, c3] = counter;
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = uint64_t{kPhiloxMultipliers[0]} * c0;
    const uint64_t p1 = uint64_t{kPhiloxMultipliers[1]} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ key.k0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ key.k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    key = NextPhiloxKey(key);
  }
  return {c0, c1, c2, c3};
}

RandomStream::RandomStream(PhiloxKey key, uint64_t step, uint32_t sample)
    : key_(key),
      counter_{0, sample, static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32)} {}

uint32_t RandomStream::NextUint32() {
  if (used_ == 4) {
    words_ = Philox(key_, counter_);
    ++counter_[0];
    used_ = 0;
  }
  return words_[used_++];
}

// Lemire, "Fast random integer generation in an interval", ACM TOMACS 2019.
uint32_t RandomStream::NextBelow(uint32_t n) {
  uint64_t product = uint64_t{NextUint32()} * n;
  if (static_cast<uint32_t>(product) < n) {
    const uint32_t threshold = -n % n;
    while (static_cast<uint32_t>(product) < threshold) product = uint64_t{NextUint32()} * n;
  }
  return static_cast<uint32_t>(product >> 32);
}

float RandomStream::NextFloat() { return static_cast<float>(NextUint32() >> 8) * 0x1p-24f; }

float RandomStream::NextNormal() {
  const double u = (static_cast<double>(NextUint32()) + 1) * 0x1p-32;  // (0, 1]: its log is finite
  const double angle = 2 * std::numbers::pi * 0x1p-32 * NextUint32();
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(angle));
}

}  // namespace qsweep::engine
