// The engine's CPU memory: a caching, counting allocator behind every CPU tensor. It keeps freed
// blocks for reuse (a fresh large tensor costs page faults at every step), charges each block to
// the account of the scope that asked for it, and refuses to exceed a limit, which is the
// out-of-memory path, testable without exhausting a machine. Thread-safe.
#ifndef QSWEEP_WORKER_ENGINE_BASE_ALLOCATOR_H_
#define QSWEEP_WORKER_ENGINE_BASE_ALLOCATOR_H_

#include <array>
#include <cstdint>
#include <memory>
#include <new>

namespace qsweep::engine {

class DeviceMemory;

enum class Account : uint8_t {
  kOther,        // data batches and whatever nobody claimed
  kWeights,      // frozen and full weights, quantized payload
  kScales,       // absmax, SCB, code tables
  kAdapter,      // trainable parameters
  kGradients,    // of trainable parameters
  kOptimizer,    // moments, and the values of the best epoch
  kActivations,  // what a step makes and frees
  kWorkspace,    // scratch panels of a step's operations
  kCount,
};
inline constexpr int kAccounts = static_cast<int>(Account::kCount);

// Allocations of this thread are charged to `account` until destruction. Scopes nest. A block stays
// charged to the account it was made under, whoever frees it.
class AccountScope {
 public:
  explicit AccountScope(Account account);
  ~AccountScope();
  AccountScope(const AccountScope&) = delete;
  AccountScope& operator=(const AccountScope&) = delete;

 private:
  Account previous_;
};

struct MemoryUse {
  std::array<int64_t, kAccounts> live_bytes{};  // as asked for, by account
  std::array<int64_t, kAccounts> peak_bytes{};  // each account's own highest since ResetPeak
  int64_t total_bytes = 0;                      // live, all accounts
  int64_t total_peak_bytes = 0;                 // highest total since ResetPeak
  int64_t cached_bytes = 0;                     // freed, kept for reuse
  // Taken from the system: live and cached blocks, rounded up. What the process grows by.
  int64_t held_bytes = 0;
  int64_t held_peak_bytes = 0;  // highest since ResetPeak
  int64_t operator[](Account a) const { return live_bytes[static_cast<int>(a)]; }
};

// Thrown by an allocation that would take the live total beyond the limit, or when the system or
// the device has no more. Derives from std::bad_alloc; torch lets it pass through.
class OutOfMemory : public std::bad_alloc {
 public:
  OutOfMemory(int64_t asked_bytes, int64_t live_bytes, int64_t limit_bytes);
  explicit OutOfMemory(const char* text);
  const char* what() const noexcept override { return text_; }

 private:
  char text_[256];
};

// Puts the allocator behind all CPU tensors made from now on. Once, before the first tensor.
void InstallAllocator();
// From now on all below, and the accounts of this thread's scopes, are of a device's memory and no
// longer of the CPU's (device.h). Its limit covers live and cached bytes. Null: of the CPU's again.
void CountDevice(std::unique_ptr<DeviceMemory> memory);
// Of that device, or nothing.
DeviceMemory* CountedDevice();

// 0: none. The limit covers live bytes; cached blocks are given back before live and cached bytes
// exceed it, or the highest live total so far by more than a quarter.
void SetMemoryLimit(int64_t bytes);
MemoryUse CurrentMemory();
void ResetPeak();
// Gives cached blocks back to the system.
void ReleaseCached();

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_ALLOCATOR_H_
