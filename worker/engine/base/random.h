// Every random draw of the engine is a function of where it is used, never of how many were drawn
// before: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11) with
// the key made of (seed, purpose) and the counter of (step, sample, block). So the micro-batch, the
// number of threads, a resume and recomputation in backward all see the same numbers.
#ifndef QSWEEP_WORKER_ENGINE_BASE_RANDOM_H_
#define QSWEEP_WORKER_ENGINE_BASE_RANDOM_H_

#include <array>
#include <cstdint>

namespace qsweep::engine {

// What a draw is for. The number of a module or tensor (its place among all there are, whichever
// are adapted) goes in `module`.
enum class Purpose : uint32_t {
  kInitialization = 1,
  kDataOrder = 2,
  kAugmentation = 3,
  kLoraDropout = 4,
  kBenchmark = 5,
  kMixing = 6,
};

struct PhiloxKey {
  uint32_t k0 = 0, k1 = 0;
};

// Distinct (seed, purpose, module) give distinct keys up to a 64-bit hash.
PhiloxKey MakeKey(uint64_t seed, Purpose purpose, uint32_t module = 0);

// Of Philox4x32-10.
inline constexpr int kPhiloxRounds = 10;
inline constexpr uint32_t kPhiloxMultipliers[2] = {0xD2511F53, 0xCD9E8D57};
inline PhiloxKey NextPhiloxKey(PhiloxKey key) { return {key.k0 + 0x9E3779B9, key.k1 + 0xBB67AE85}; }

// Four 32-bit words at a counter. The scalar reference; kernels that make many at once must agree.
std::array<uint32_t, 4> Philox(PhiloxKey key, std::array<uint32_t, 4> counter);

// A stream at (step, sample): counter = {block, sample, step low, step high}, block rising from 0.
class RandomStream {
 public:
  RandomStream(PhiloxKey key, uint64_t step, uint32_t sample);
  uint32_t NextUint32();
  // Uniform in [0, n), n > 0, without bias.
  uint32_t NextBelow(uint32_t n);
  // Uniform in [0, 1): the word's high 24 bits / 2^24.
  float NextFloat();
  // Standard normal, by Box-Muller.
  float NextNormal();

 private:
  PhiloxKey key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> words_{};
  int used_ = 4;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_RANDOM_H_
