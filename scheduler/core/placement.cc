#include "scheduler/core/placement.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "scheduler/core/transitions.h"

namespace qsweep::core {
namespace {

template <typename Names>
bool Contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether it could run there if nothing else did. memory_bytes 0: unknown, so no limit.
bool IsCapable(const Worker& worker, const Needs& needs) {
  return worker.session != 0 &&
         (needs.model.empty() || Contains(worker.info.models(), needs.model)) &&
         Contains(worker.info.datasets(), needs.dataset) &&
         (worker.info.memory_bytes() == 0 || needs.memory_bytes <= worker.info.memory_bytes());
}

int64_t FreeSlots(const State& state, Time now, const Worker& worker) {
  const auto used = static_cast<int64_t>(worker.running.size() + worker.stopping.size());
  if (worker.session == 0 || !worker.refuses.empty()) return 0;
  if (worker.faults < state.policy.quarantine_after) return worker.info.slots() - used;
  return used == 0 && worker.rests_until <= now ? 1 : 0;  // one run, to see whether it is well
}

bool HasMemory(const Worker& worker, const Needs& needs) {
  return worker.info.memory_bytes() == 0 ||
         worker.reserved_bytes + needs.memory_bytes <= worker.info.memory_bytes();
}

// Whether the line's runs go to a worker they would rather avoid: only if no other could ever take
// them.
bool MayUse(const State& state, const Line& line, const WorkerId& id) {
  if (line.avoided.count(id) == 0) return true;
  return std::none_of(state.workers.begin(), state.workers.end(), [&](const auto& other) {
    return line.avoided.count(other.first) == 0 && IsCapable(other.second, line.needs);
  });
}

class Placement {
 public:
  Placement(State& state, Time now, Effects& effects)
      : state_(state), now_(now), effects_(effects) {}

  void Run() {
    std::set<std::pair<Position, const Line*>> heads;
    for (const auto& [line, positions] : state_.queue) heads.emplace(*positions.begin(), &line);
    while (!heads.empty() && AnySlot()) {
      const auto [head, line] = *heads.begin();
      heads.erase(heads.begin());
      Worker* worker = Choose(*line, -head.negated_priority);
      if (worker == nullptr) continue;
      const auto& positions = state_.queue.at(*line);
      const bool last = positions.size() == 1;  // then the line goes with it
      if (!last) heads.emplace(*std::next(positions.begin()), line);
      StartAttempt(state_, now_, state_.runs.at(head.run), *worker, effects_);
    }
  }

 private:
  bool AnySlot() const {
    return std::any_of(state_.workers.begin(), state_.workers.end(), [this](const auto& worker) {
      return FreeSlots(state_, now_, worker.second) > 0;
    });
  }

  Worker* Choose(const Line& line, int32_t priority) {
    Worker* best = nullptr;
    int64_t best_slots = 0;
    std::vector<WorkerId> short_of_memory;
    for (auto& [id, worker] : state_.workers) {
      const int64_t slots = FreeSlots(state_, now_, worker);
      if (slots <= 0 || !IsCapable(worker, line.needs) || !MayUse(state_, line, id)) continue;
      const auto kept = kept_for_.find(id);
      if (kept != kept_for_.end() && kept->second > priority) continue;
      if (!HasMemory(worker, line.needs)) {
        short_of_memory.push_back(id);
      } else if (slots > best_slots) {
        best = &worker;
        best_slots = slots;
      }
    }
    if (best == nullptr) {
      for (const WorkerId& id : short_of_memory) kept_for_.emplace(id, priority);
    }
    return best;
  }

  State& state_;
  const Time now_;
  Effects& effects_;
  std::map<WorkerId, int32_t> kept_for_;  // the priority of a run that waits for memory there
};

std::string Gigabytes(int64_t bytes) { return absl::StrFormat("%.1f GB", 1e-9 * bytes); }

// Why no connected worker could take it even if it were idle; empty if one could.
std::string WhyNowhere(const State& state, const Needs& needs) {
  bool connected = false, dataset = false, model = false;
  int64_t largest = 0;
  for (const auto& [id, worker] : state.workers) {
    if (worker.session == 0) continue;
    if (IsCapable(worker, needs)) return "";
    connected = true;
    if (!Contains(worker.info.datasets(), needs.dataset)) continue;
    dataset = true;
    if (!needs.model.empty() && !Contains(worker.info.models(), needs.model)) continue;
    model = true;
    largest = std::max(largest, worker.info.memory_bytes());
  }
  if (!connected) return "no worker is connected";
  if (!dataset) return absl::StrCat("no connected worker has the dataset ", needs.dataset);
  if (!model) {
    return absl::StrCat("no connected worker with the dataset ", needs.dataset,
                        " has the weights of ", needs.model);
  }
  return absl::StrCat("needs ", Gigabytes(needs.memory_bytes),
                      ", the largest connected worker with its data has ", Gigabytes(largest));
}

}  // namespace

void Place(State& state, Time now, Effects& effects) {
  if (state.hold.empty()) Placement(state, now, effects).Run();
}

std::string WaitingReason(const State& state, Time now, const Run& run) {
  switch (run.wait) {
    case Wait::kTwin:
      return absl::StrCat("run ", state.cells.at(run.key).active.value(),
                          " computes the same: waits for its result");
    case Wait::kWeights:
      return absl::StrCat("waits for the weights of run ",
                          state.cells.at(run.weights_key).active.value());
    case Wait::kDelayed:
      return absl::StrCat("retried in ",
                          std::max<int64_t>(1, absl::ToInt64Seconds(run.not_before - now)), " s");
    case Wait::kQueued:
      break;
  }
  if (!state.hold.empty()) return state.hold;
  if (std::string why = WhyNowhere(state, run.needs); !why.empty()) return why;
  std::string refusal;
  for (const auto& [id, worker] : state.workers) {
    if (!IsCapable(worker, run.needs) || worker.faults >= state.policy.quarantine_after) continue;
    if (worker.refuses.empty()) return "every worker that fits is busy";
    refusal = absl::StrCat(worker.info.name(), " takes no runs: ", worker.refuses);
  }
  if (!refusal.empty()) return refusal;
  return "every worker that fits is in quarantine after repeated faults";
}

}  // namespace qsweep::core
