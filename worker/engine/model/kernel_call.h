// What the kernels are called with: types for tensors, scratch memory for threads.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNEL_CALL_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNEL_CALL_H_

#include <ATen/ATen.h>

#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/threads.h"
#include "worker/engine/model/kernels/kernels.h"

namespace qsweep::engine {

// Null for an undefined tensor.
template <typename T>
T* Data(const at::Tensor& t) {
  return t.defined() ? reinterpret_cast<T*>(t.data_ptr()) : nullptr;
}

// use(T{}) with the kernels' type for `type`.
template <typename Use>
void WithType(at::ScalarType type, const Use& use) {
  QSWEEP_CHECK(type == at::kFloat || type == at::kBFloat16);
  if (type == at::kFloat) {
    use(float{});
  } else {
    use(Bf16{});
  }
}

// work(begin, end, scratch) over parts 0 .. parts, on all threads, each with `floats` floats of its
// own in whole cache lines.
template <typename Work>
void ForParts(int64_t parts, int64_t floats, const Work& work) {
  const int64_t stride = (floats + 15) / 16 * 16;
  const int threads = ThreadsHere();
  at::Tensor scratch;
  {
    AccountScope scope(Account::kWorkspace);
    scratch = at::empty({threads, stride}, at::kFloat);
  }
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    work(begin, end, Data<float>(scratch) + (threads == 1 ? 0 : at::get_thread_num()) * stride);
  });
}

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNEL_CALL_H_
