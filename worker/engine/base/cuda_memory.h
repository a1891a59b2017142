// CUDA's allocator, as libtorch has it. Only where libtorch is built for CUDA.
#ifndef QSWEEP_WORKER_ENGINE_BASE_CUDA_MEMORY_H_
#define QSWEEP_WORKER_ENGINE_BASE_CUDA_MEMORY_H_

#include <c10/core/Device.h>

#include <memory>

#include "absl/status/statusor.h"
#include "worker/engine/base/device.h"

namespace qsweep::engine {

// Makes the device ready. Unavailable, with the driver's words, if it is not.
absl::StatusOr<std::unique_ptr<DeviceMemory>> MakeCudaMemory(c10::DeviceIndex index);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_CUDA_MEMORY_H_
