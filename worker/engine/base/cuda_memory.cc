#include "worker/engine/base/cuda_memory.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "worker/engine/base/torch_compat.h"

namespace qsweep::engine {
namespace {

namespace cuda = c10::cuda::CUDACachingAllocator;

struct Bytes {
  size_t free = 0, total = 0;
};

class CudaMemory final : public DeviceMemory {
 public:
  explicit CudaMemory(c10::DeviceIndex index) : index_(index) {}

  std::string DeviceName() const override {
    cudaDeviceProp properties;
    C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, index_));
    return absl::StrCat("cuda:", static_cast<int>(index_), " ", properties.name);
  }

  int64_t Total() const override { return static_cast<int64_t>(OfDevice().total); }
  int64_t Free() const override { return static_cast<int64_t>(OfDevice().free); }
  int64_t Live() const override { return cuda::getDeviceStats(index_).allocated_bytes[0].current; }
  int64_t LivePeak() const override { return cuda::getDeviceStats(index_).allocated_bytes[0].peak; }
  int64_t Held() const override { return cuda::getDeviceStats(index_).reserved_bytes[0].current; }
  int64_t HeldPeak() const override { return cuda::getDeviceStats(index_).reserved_bytes[0].peak; }
  void ResetPeaks() override { cuda::resetPeakStats(index_); }
  void ReleaseCached() override { cuda::emptyCache(); }

  void SetLimit(int64_t bytes) override {
    const auto total = static_cast<double>(Total());
    const double share = bytes == 0 ? 1 : std::min(1.0, static_cast<double>(bytes) / total);
    cuda::setMemoryFraction(share, index_);
  }

 private:
  Bytes OfDevice() const {
    Bytes bytes;
    C10_CUDA_CHECK(cudaMemGetInfo(&bytes.free, &bytes.total));
    return bytes;
  }

  const c10::DeviceIndex index_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> MakeCudaMemory(c10::DeviceIndex index) {
  const int devices = c10::cuda::device_count();
  if (index >= devices) {
    return absl::UnavailableError(
        absl::StrCat("CUDA devices here: ", devices, "; nvidia-smi lists those the driver sees"));
  }
  // cuBLAS repeats its sums in one order only with a workspace of a fixed size.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  SumProductsInFloat();
  try {
    c10::cuda::set_device(index);
    at::empty({1}, at::device({c10::kCUDA, index}));  // makes libtorch ready for it
  } catch (const c10::Error& error) {
    return absl::UnavailableError(error.what_without_backtrace());
  }
  return std::make_unique<CudaMemory>(index);
}

}  // namespace qsweep::engine
