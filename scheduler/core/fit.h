// Whether a run fits a worker: the questions that placement and its explanations share.
#ifndef QSWEEP_SCHEDULER_CORE_FIT_H_
#define QSWEEP_SCHEDULER_CORE_FIT_H_

#include <algorithm>
#include <string>

#include "scheduler/core/state.h"

namespace qsweep::core {

template <typename Names>
bool Contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

inline bool HasModel(const Worker& worker, const Needs& needs) {
  return needs.model.empty() || Contains(worker.info.models(), needs.model);
}
inline bool HasDataset(const Worker& worker, const Needs& needs) {
  return Contains(worker.info.datasets(), needs.dataset);
}
// memory_bytes 0: unknown, so no limit.
inline bool IsLargeEnough(const Worker& worker, const Needs& needs) {
  return worker.info.memory_bytes() == 0 || needs.memory_bytes <= worker.info.memory_bytes();
}
inline bool HasMemoryNow(const Worker& worker, const Needs& needs) {
  return worker.info.memory_bytes() == 0 ||
         worker.reserved_bytes + needs.memory_bytes <= worker.info.memory_bytes();
}

// Whether it could run there if nothing else did.
inline bool IsCapable(const Worker& worker, const Needs& needs) {
  return worker.session != 0 && HasModel(worker, needs) && HasDataset(worker, needs) &&
         IsLargeEnough(worker, needs);
}

inline bool InQuarantine(const State& state, const Worker& worker) {
  return worker.faults >= state.policy.quarantine_after;
}

inline int64_t FreeSlots(const State& state, Time now, const Worker& worker) {
  const auto used = static_cast<int64_t>(worker.running.size() + worker.stopping.size());
  if (worker.session == 0 || worker.draining || !worker.refuses.empty()) return 0;
  if (!InQuarantine(state, worker)) return worker.info.slots() - used;
  return used == 0 && worker.rests_until <= now ? 1 : 0;  // one run, to see whether it is well
}

// Whether the line's runs go to a worker they would rather avoid: only if no other could ever take
// them.
inline bool MayUse(const State& state, const Line& line, const WorkerId& id) {
  if (line.avoided.count(id) == 0) return true;
  return std::none_of(state.workers.begin(), state.workers.end(), [&](const auto& other) {
    return line.avoided.count(other.first) == 0 && !other.second.draining &&
           IsCapable(other.second, line.needs);
  });
}

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_FIT_H_
