// What differs between the libtorch of Debian 12 (1.13) and of Debian 13 (2.6): all of it, here.
#ifndef QSWEEP_WORKER_ENGINE_BASE_TORCH_COMPAT_H_
#define QSWEEP_WORKER_ENGINE_BASE_TORCH_COMPAT_H_

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

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_TORCH_COMPAT_H_
