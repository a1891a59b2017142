#include "worker/engine/base/device_accounts.h"

#include <algorithm>
#include <utility>

namespace qsweep::engine {

DeviceAccounts::DeviceAccounts(std::unique_ptr<DeviceMemory> memory) : memory_(std::move(memory)) {
  Charge(Account::kOther);
  ResetPeak();
}

void DeviceAccounts::Charge(Account account) {
  const int64_t before = use_.total_bytes, now = memory_->Live(), highest = memory_->LivePeak();
  int64_t& live = use_.live_bytes[static_cast<int>(account)];
  int64_t& peak = use_.peak_bytes[static_cast<int>(account)];
  peak = std::max(peak, live + highest - before);
  live += now - before;
  use_.total_bytes = now;
  use_.total_peak_bytes = std::max(use_.total_peak_bytes, highest);
  use_.held_bytes = memory_->Held();
  use_.held_peak_bytes = std::max(use_.held_peak_bytes, memory_->HeldPeak());
  use_.cached_bytes = use_.held_bytes - now;
  memory_->ResetPeaks();
}

void DeviceAccounts::ResetPeak() {
  use_.peak_bytes = use_.live_bytes;
  use_.total_peak_bytes = use_.total_bytes;
  use_.held_peak_bytes = use_.held_bytes;
}

}  // namespace qsweep::engine
