// What differs between the libtorch of Debian 12 (1.13) and of Debian 13 (2.6): all of it, here.
#ifndef QSWEEP_WORKER_ENGINE_BASE_TORCH_COMPAT_H_
#define QSWEEP_WORKER_ENGINE_BASE_TORCH_COMPAT_H_

#include <ATen/Context.h>
#include <c10/core/Allocator.h>
#include <torch/version.h>

#include <cstddef>
#include <cstring>

namespace qsweep::engine {

// c10::Allocator with one method to write: its allocate() lost its `const`, and copy_data() came.
class TorchAllocator : public c10::Allocator {
 public:
#if TORCH_VERSION_MAJOR >= 2
  c10::DataPtr allocate(size_t bytes) final { return Allocate(bytes); }
  void copy_data(void* to, const void* from, size_t bytes) const final {
    std::memcpy(to, from, bytes);
  }
#else
  c10::DataPtr allocate(size_t bytes) const final { return Allocate(bytes); }
#endif

 protected:
  virtual c10::DataPtr Allocate(size_t bytes) const = 0;
};

// libtorch lets cuBLAS add partial sums of fp16 and bf16 products in those types, and an
// environment variable that some containers set lets it take fp32 as TF32. 1.13 has no such switch
// for bf16.
inline void SumProductsInFloat() {
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowFP16ReductionCuBLAS(false);
#if TORCH_VERSION_MAJOR >= 2
  at::globalContext().setAllowBF16ReductionCuBLAS(false);
#endif
}

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_TORCH_COMPAT_H_
