#include "worker/engine/base/allocator.h"

#include <c10/core/CPUAllocator.h>
#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "common/status.h"
#include "worker/engine/base/device_accounts.h"
#include "worker/engine/base/torch_compat.h"

namespace qsweep::engine {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and what AVX-512 loads like best
// Blocks from this size on are mappings of their own, in huge pages where the system grants them:
// to touch 19 MiB for the first time takes 1 ms in place of 30, and what is given back really goes.
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMapFrom = kHugePage;
// Sizes are rounded up to one of eight steps between powers of two: at most 12.5 % unused.
constexpr int kStepBits = 3;
constexpr int kClasses = 64 << kStepBits;
// Tensors of other shapes (the last batch of an epoch, evaluation) must not let the cache grow for
// ever: it is emptied before live and cached bytes exceed the highest live total by a quarter of
// it.
constexpr int64_t kCacheShare = 4;

thread_local Account current_account = Account::kOther;
DeviceAccounts* device = nullptr;  // not deleted at the end: tensors may outlive main
thread_local bool makes_device_tensors = false;

// Lies right before the bytes that the tensor sees.
struct alignas(kAlignment) Block {
  size_t asked_bytes;
  int size_class;
  Account account;
  Block* next_free;
};
static_assert(sizeof(Block) == kAlignment);

// The class whose blocks are the smallest to hold `bytes` > kAlignment.
int SizeClass(size_t bytes) {
  const int exponent = std::bit_width(bytes - 1) - 1;  // 2^exponent < bytes <= 2^(exponent+1)
  const size_t step = size_t{1} << (exponent - kStepBits);
  const size_t steps = (bytes - (size_t{1} << exponent) + step - 1) / step;  // 1 .. 8
  return (exponent << kStepBits) + static_cast<int>(steps);
}

size_t ClassBytes(int size_class) {
  // Step 8 of one power of two is step 0 of the next.
  const int exponent = size_class >> kStepBits;
  const size_t steps = size_class & ((1 << kStepBits) - 1);
  const size_t bytes = (size_t{1} << exponent) + (steps << (exponent - kStepBits));
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// A mapping that begins at a huge page; nullptr when the system has no more.
void* MapAligned(size_t bytes) {
  const size_t reserve = bytes + kHugePage;
  void* raw = ::mmap(nullptr, reserve, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(raw);
  const size_t head = -reinterpret_cast<uintptr_t>(begin) % kHugePage;
  const size_t tail = reserve - head - bytes;
  if (head > 0) ::munmap(begin, head);
  if (tail > 0) ::munmap(begin + head + bytes, tail);
  ::madvise(begin + head, bytes, MADV_HUGEPAGE);
  return begin + head;
}

void* GetFromSystem(size_t bytes) {
  return bytes >= kMapFrom ? MapAligned(bytes) : std::aligned_alloc(kAlignment, bytes);
}

void GiveToSystem(Block* block) {
  const size_t bytes = ClassBytes(block->size_class);
  if (bytes >= kMapFrom) {
    ::munmap(block, bytes);
  } else {
    std::free(block);
  }
}

class CachingAllocator final : public TorchAllocator {
 public:
  static CachingAllocator& Get() {
    static CachingAllocator* const allocator = new CachingAllocator;  // tensors may outlive main
    return *allocator;
  }

  void SetLimit(int64_t bytes) {
    std::lock_guard lock(mutex_);
    limit_bytes_ = bytes;
  }

  MemoryUse Use() {
    std::lock_guard lock(mutex_);
    return use_;
  }

  void ResetPeak() {
    std::lock_guard lock(mutex_);
    use_.peak_bytes = use_.live_bytes;
    use_.total_peak_bytes = use_.total_bytes;
    use_.held_peak_bytes = use_.held_bytes;
  }

  void ReleaseCached() {
    std::lock_guard lock(mutex_);
    ReleaseCachedLocked();
  }

 protected:
  c10::DataPtr Allocate(size_t bytes) const override {
    void* const data = bytes == 0 ? nullptr : Get().New(bytes);
    return {data, data, &Delete, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Delete; }

 private:
  void* New(size_t asked) {
    std::lock_guard lock(mutex_);
    constexpr size_t kMost = size_t{1} << 46;  // more than any machine maps
    const int64_t limit = limit_bytes_ > 0 ? limit_bytes_ : int64_t{1} << 62;
    const int64_t total = use_.total_bytes + static_cast<int64_t>(asked);
    if (asked > kMost || total > limit) {
      throw OutOfMemory(static_cast<int64_t>(asked), use_.total_bytes, limit_bytes_);
    }
    highest_total_ = std::max(highest_total_, total);
    const int size_class = SizeClass(asked + sizeof(Block));
    const int64_t bytes = static_cast<int64_t>(ClassBytes(size_class));
    Block* block = free_[size_class];
    if (block != nullptr) {
      free_[size_class] = block->next_free;
      use_.cached_bytes -= bytes;
    } else {
      const int64_t most = std::min(limit, highest_total_ + highest_total_ / kCacheShare);
      if (use_.total_bytes + use_.cached_bytes + bytes > most) ReleaseCachedLocked();
      void* memory = GetFromSystem(static_cast<size_t>(bytes));
      if (memory == nullptr) {
        ReleaseCachedLocked();
        memory = GetFromSystem(static_cast<size_t>(bytes));
      }
      if (memory == nullptr) {
        throw OutOfMemory(static_cast<int64_t>(asked), use_.total_bytes, limit_bytes_);
      }
      block = new (memory) Block;
      use_.held_bytes += bytes;
      use_.held_peak_bytes = std::max(use_.held_peak_bytes, use_.held_bytes);
    }
    *block = {asked, size_class, current_account, nullptr};
    Charge(*block, static_cast<int64_t>(asked));
    return block + 1;
  }

  static void Delete(void* data) {
    if (data == nullptr) return;
    CachingAllocator& self = Get();
    Block* const block = static_cast<Block*>(data) - 1;
    std::lock_guard lock(self.mutex_);
    self.Charge(*block, -static_cast<int64_t>(block->asked_bytes));
    self.use_.cached_bytes += static_cast<int64_t>(ClassBytes(block->size_class));
    block->next_free = self.free_[block->size_class];
    self.free_[block->size_class] = block;  // last in, first out: the warmest is used next
  }

  void Charge(const Block& block, int64_t bytes) {
    const int account = static_cast<int>(block.account);
    use_.live_bytes[account] += bytes;
    use_.total_bytes += bytes;
    use_.peak_bytes[account] = std::max(use_.peak_bytes[account], use_.live_bytes[account]);
    use_.total_peak_bytes = std::max(use_.total_peak_bytes, use_.total_bytes);
  }

  void ReleaseCachedLocked() {
    for (Block*& head : free_) {
      while (head != nullptr) {
        Block* const block = head;
        head = block->next_free;
        use_.held_bytes -= static_cast<int64_t>(ClassBytes(block->size_class));
        GiveToSystem(block);
      }
    }
    use_.cached_bytes = 0;
    ::malloc_trim(0);
  }

  std::mutex mutex_;  // guards all below
  MemoryUse use_;
  int64_t limit_bytes_ = 0;
  int64_t highest_total_ = 0;
  std::array<Block*, kClasses> free_{};
};

}  // namespace

AccountScope::AccountScope(Account account) : previous_(current_account) {
  if (makes_device_tensors) device->Charge(current_account);
  current_account = account;
}
AccountScope::~AccountScope() {
  if (makes_device_tensors) device->Charge(current_account);
  current_account = previous_;
}

OutOfMemory::OutOfMemory(const char* text) { std::snprintf(text_, sizeof text_, "%s", text); }

OutOfMemory::OutOfMemory(int64_t asked_bytes, int64_t live_bytes, int64_t limit_bytes) {
  if (limit_bytes > 0) {
    std::snprintf(text_, sizeof text_,
                  "out of memory: asked for %lld bytes beside %lld in use, limit %lld",
                  static_cast<long long>(asked_bytes), static_cast<long long>(live_bytes),
                  static_cast<long long>(limit_bytes));
  } else {
    std::snprintf(text_, sizeof text_,
                  "out of memory: asked for %lld bytes beside %lld in use, the system has no more",
                  static_cast<long long>(asked_bytes), static_cast<long long>(live_bytes));
  }
}

void InstallAllocator() {
  constexpr uint8_t kAboveDefault = 1;
  c10::SetCPUAllocator(&CachingAllocator::Get(), kAboveDefault);
}

void CountDevice(std::unique_ptr<DeviceMemory> memory) {
  delete std::exchange(device, memory ? new DeviceAccounts(std::move(memory)) : nullptr);
  makes_device_tensors = device != nullptr;
}

DeviceMemory* CountedDevice() { return device == nullptr ? nullptr : &device->memory(); }

void SetMemoryLimit(int64_t bytes) {
  if (device != nullptr) return device->memory().SetLimit(bytes);
  CachingAllocator::Get().SetLimit(bytes);
}

MemoryUse CurrentMemory() {
  if (device == nullptr) return CachingAllocator::Get().Use();
  if (makes_device_tensors) device->Charge(current_account);
  return device->use();
}

void ResetPeak() {
  if (device == nullptr) return CachingAllocator::Get().ResetPeak();
  device->Charge(current_account);
  device->ResetPeak();
}

void ReleaseCached() {
  if (device != nullptr) device->memory().ReleaseCached();
  CachingAllocator::Get().ReleaseCached();
}

}  // namespace qsweep::engine
