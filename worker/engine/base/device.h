// Where this process computes: on the CPU, or on one device that libtorch drives (CUDA). Like the
// allocator and the number of threads, that is one for the process and settled before the first
// tensor is made.
#ifndef QSWEEP_WORKER_ENGINE_BASE_DEVICE_H_
#define QSWEEP_WORKER_ENGINE_BASE_DEVICE_H_

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"

namespace qsweep::engine {

// "cpu", "cuda", "cuda:1". InvalidArgument for another name; Unavailable, with the reason, when
// there is no such device here.
absl::Status UseDevice(const std::string& name);
c10::Device ComputeDevice();
// As the device's driver names it; "cpu" on the CPU.
std::string ComputeDeviceName();

// Whether this is a device's want of memory: of its allocator, or beside the tensors.
bool IsOutOfMemory(const c10::Error& error);

// A device's allocator. Bytes.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual std::string DeviceName() const = 0;
  virtual int64_t Total() const = 0;     // of the device
  virtual int64_t Free() const = 0;      // of the device, not taken by this or another process
  virtual int64_t Live() const = 0;      // of tensors
  virtual int64_t LivePeak() const = 0;  // since ResetPeaks
  virtual int64_t Held() const = 0;      // live and cached
  virtual int64_t HeldPeak() const = 0;  // since ResetPeaks
  virtual void ResetPeaks() = 0;
  virtual void SetLimit(int64_t bytes) = 0;  // 0: none
  virtual void ReleaseCached() = 0;
};
// What UseDevice does with a device that it has found; and for tests with devices of their own,
// which may come back to the CPU with a null `memory`.
void UseDevice(c10::Device device, std::unique_ptr<DeviceMemory> memory);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_DEVICE_H_
