// The accounts of a device's memory (allocator.h). A device's allocator knows totals only, so what
// they change by while an AccountScope lasts is charged to its account: right as long as one thread
// makes and frees the device's tensors.
#ifndef QSWEEP_WORKER_ENGINE_BASE_DEVICE_ACCOUNTS_H_
#define QSWEEP_WORKER_ENGINE_BASE_DEVICE_ACCOUNTS_H_

#include <cstdint>
#include <memory>

#include "worker/engine/base/allocator.h"
#include "worker/engine/base/device.h"

namespace qsweep::engine {

// For one thread.
class DeviceAccounts {
 public:
  explicit DeviceAccounts(std::unique_ptr<DeviceMemory> memory);

  // Charges to `account` what has changed since the last time.
  void Charge(Account account);
  const MemoryUse& use() const { return use_; }
  void ResetPeak();
  DeviceMemory& memory() { return *memory_; }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  MemoryUse use_;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_DEVICE_ACCOUNTS_H_
