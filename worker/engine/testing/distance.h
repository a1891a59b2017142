// For tests: how far two tensors are apart, and how far rounding alone may bring them.
#ifndef QSWEEP_WORKER_ENGINE_TESTING_DISTANCE_H_
#define QSWEEP_WORKER_ENGINE_TESTING_DISTANCE_H_

#include <ATen/ATen.h>

#include <cmath>

namespace qsweep::engine {

// Of `a` from `b`, as a part of b's norm, in float64.
inline double Distance(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wide = b.to(at::kDouble);
  return ((a.to(at::kDouble) - wide).norm() / wide.norm()).item<double>();
}

// The distances that are to be expected. Rounding to nearest errs by up to 2^-24 of a number in
// fp32, 2^-8 in bf16, 2^-11 in fp16, spread evenly: over many numbers at most that / √3. What errs
// n times in turn, errs √n times as much.
inline constexpr double kUnitFp32 = 0x1p-24, kUnitBf16 = 0x1p-8, kUnitFp16 = 0x1p-11;

inline double Roundings(double unit, double n) { return unit * std::sqrt(n / 3); }

// A sum of n terms of either sign, one after the other in fp32, is off by kUnitFp32 √(n / 6). That
// is the worst order, and this 2.4 times as much: with vectors of any width, with and without fused
// products, it holds.
inline double Fp32Sums(double n) { return kUnitFp32 * std::sqrt(n); }

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TESTING_DISTANCE_H_
