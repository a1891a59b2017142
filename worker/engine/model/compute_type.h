// From tensors to the kernels' types.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_COMPUTE_TYPE_H_
#define QSWEEP_WORKER_ENGINE_MODEL_COMPUTE_TYPE_H_

#include <ATen/ATen.h>

#include "common/status.h"
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

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_COMPUTE_TYPE_H_
