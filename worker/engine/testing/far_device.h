// A libtorch device for tests, of memory that the CPU cannot touch: the stand-in for a GPU where
// there is none. Its data_ptr() is an address that faults when it is read or written, and an
// operation given both its tensors and CPU tensors of dim > 0 throws, so code that forgets where
// its tensors are fails here as it would on CUDA. Every operation runs on the CPU's kernels and
// generator, with the CPU's results; but Half is computed in fp32 and rounded, as a GPU does.
#ifndef QSWEEP_WORKER_ENGINE_TESTING_FAR_DEVICE_H_
#define QSWEEP_WORKER_ENGINE_TESTING_FAR_DEVICE_H_

#include <ATen/ATen.h>

#include <cstdint>

namespace qsweep::engine {

// The backend "privateuseone", index 0. Fresh memory holds NaN (bytes of 0xff). Thread-safe.
at::Device FarDevice();

// Bytes in tensors, as asked for; what an operation needs for itself is not counted.
int64_t FarLiveBytes();
int64_t FarPeakBytes();
void ResetFarPeak();

// An allocation that would take the live bytes beyond `bytes` throws c10::OutOfMemoryError, as
// CUDA's allocator does. 0: no limit.
void SetFarLimit(int64_t bytes);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TESTING_FAR_DEVICE_H_
