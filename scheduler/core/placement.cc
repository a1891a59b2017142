#include "scheduler/core/placement.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/core/fit.h"
#include "scheduler/core/transitions.h"
#include "scheduler/core/waiting.h"

namespace qsweep::core {
namespace {

// The first run of a line, where it stands among those of other lines.
struct Head {
  int32_t negated_priority = 0;
  int32_t running = 0;  // of its sweep
  RunId run;
  const Line* line = nullptr;
  friend auto operator<=>(const Head&, const Head&) = default;
};

class Placement {
 public:
  Placement(State& state, Time now, Effects& effects)
      : state_(state), now_(now), effects_(effects) {}

  void Run() {
    for (const auto& [line, positions] : state_.queue) heads_.insert(HeadOf(line, positions));
    std::vector<Head> unplaced;
    while (!heads_.empty() && AnySlot()) {
      const Head head = *heads_.begin();
      heads_.erase(heads_.begin());
      const int32_t running = RunningOf(*head.line);
      if (head.running != running) {  // others of its sweep were placed meanwhile
        heads_.insert({head.negated_priority, running, head.run, head.line});
        continue;
      }
      if (Worker* worker = Choose(*head.line, -head.negated_priority)) {
        Start(head, *worker);
      } else {
        unplaced.push_back(head);
        NoteReason(head);
      }
    }
    unplaced.insert(unplaced.end(), heads_.begin(), heads_.end());
    Preempt(std::move(unplaced));
  }

 private:
  int32_t RunningOf(const Line& line) const {
    return state_.sweeps.at(line.sweep).count[v1::RUN_STATE_RUNNING];
  }
  Head HeadOf(const Line& line, const std::set<Position>& positions) const {
    return {positions.begin()->negated_priority, RunningOf(line), positions.begin()->run, &line};
  }
  bool AnySlot() const {
    return std::any_of(state_.workers.begin(), state_.workers.end(), [this](const auto& worker) {
      return FreeSlots(state_, now_, worker.second) > 0;
    });
  }

  void Start(const Head& head, Worker& worker) {
    const auto& positions = state_.queue.at(*head.line);
    const bool last = positions.size() == 1;  // then the line goes with it
    StartAttempt(state_, now_, state_.runs.at(head.run), worker, effects_);
    if (!last) heads_.insert(HeadOf(*head.line, positions));
  }

  Worker* Choose(const Line& line, int32_t priority) {
    Worker* best = nullptr;
    std::pair<int64_t, double> best_score;  // free slots, then speed
    std::vector<WorkerId> short_of_memory;
    for (auto& [id, worker] : state_.workers) {
      const int64_t slots = FreeSlots(state_, now_, worker);
      if (slots <= 0 || !IsCapable(worker, line.needs) || !MayUse(state_, line, id)) continue;
      const auto kept = kept_for_.find(id);
      if (kept != kept_for_.end() && kept->second > priority) continue;
      if (!HasMemoryNow(worker, line.needs)) {
        short_of_memory.push_back(id);
        continue;
      }
      const std::pair<int64_t, double> score{slots, RateOf(line, id)};
      if (best == nullptr || score > best_score) {
        best = &worker;
        best_score = score;
      }
    }
    if (best == nullptr) {
      for (const WorkerId& id : short_of_memory) kept_for_.emplace(id, priority);
    }
    return best;
  }

  // Images per second that a run like the line's first has made there; 0: unknown.
  double RateOf(const Line& line, const WorkerId& worker) const {
    const RunId first = state_.queue.at(line).begin()->run;
    const auto rate = state_.rates.find({state_.runs.at(first).kind, worker});
    return rate == state_.rates.end() ? 0 : rate->second;
  }

  // For the history, once a line: what its runs first waited for.
  void NoteReason(const Head& head) {
    std::string& reason = state_.reasons[*head.line];
    if (reason.empty()) reason = WaitingReason(state_, now_, state_.runs.at(head.run));
  }

  // --- Preemption

  void Preempt(std::vector<Head> waiting) {
    if (waiting.empty()) return;
    std::optional<int32_t> lowest;  // priority of what could be stopped
    int64_t coming = 0;             // slots that earlier stops will free
    for (const auto& [id, worker] : state_.workers) {
      for (const RunId run_id : worker.running) {
        const struct Run& run = state_.runs.at(run_id);
        if (run.stop == StopCause::kPreempted) ++coming;
        if (run.stop == StopCause::kNone) {
          lowest = std::min(lowest.value_or(run.priority), run.priority);
        }
      }
    }
    std::sort(waiting.begin(), waiting.end());
    for (const Head& head : waiting) {
      if (!lowest || -head.negated_priority <= *lowest) return;
      for (const Position& position : state_.queue.at(*head.line)) {
        if (coming > 0) {
          --coming;
        } else if (!StopFor(*head.line, state_.runs.at(position.run))) {
          break;
        }
      }
    }
  }

  // Stops as few runs of lower priority as make room for this one; false if that cannot be.
  bool StopFor(const Line& line, const struct Run& run) {
    std::vector<RunId> best;
    for (const auto& [id, worker] : state_.workers) {
      if (worker.draining || InQuarantine(state_, worker) || !IsCapable(worker, line.needs) ||
          !MayUse(state_, line, id)) {
        continue;
      }
      std::vector<RunId> victims = Victims(worker, line.needs, run.priority);
      if (!victims.empty() && (best.empty() || victims.size() < best.size())) {
        best = std::move(victims);
      }
    }
    for (const RunId victim : best) {
      StopWithCheckpoint(
          state_, now_, state_.runs.at(victim), StopCause::kPreempted,
          absl::StrCat("run ", run.id.value(), " of higher priority needs its place"), effects_);
    }
    return !best.empty();
  }

  // Lowest priority first, then the youngest; empty if they do not make room.
  std::vector<RunId> Victims(const Worker& worker, const Needs& needs, int32_t priority) const {
    std::vector<std::pair<int32_t, int64_t>> order;
    for (const RunId id : worker.running) {
      const struct Run& run = state_.runs.at(id);
      if (run.priority < priority && run.stop == StopCause::kNone) {
        order.emplace_back(run.priority, -id.value());
      }
    }
    std::sort(order.begin(), order.end());
    int64_t slots = FreeSlots(state_, now_, worker);
    int64_t reserved = worker.reserved_bytes;
    std::vector<RunId> victims;
    for (const auto& [lower, negated] : order) {
      const bool room = worker.info.memory_bytes() == 0 ||
                        reserved + needs.memory_bytes <= worker.info.memory_bytes();
      if (slots > 0 && room) break;
      victims.emplace_back(-negated);
      reserved -= state_.runs.at(victims.back()).memory_bytes;
      ++slots;
    }
    const bool room = worker.info.memory_bytes() == 0 ||
                      reserved + needs.memory_bytes <= worker.info.memory_bytes();
    if (slots <= 0 || !room) victims.clear();
    return victims;
  }

  State& state_;
  const Time now_;
  Effects& effects_;
  std::set<Head> heads_;
  std::map<WorkerId, int32_t> kept_for_;  // the priority of a run that waits for memory there
};

}  // namespace

void Place(State& state, Time now, Effects& effects) {
  if (state.hold.empty()) Placement(state, now, effects).Run();
}

}  // namespace qsweep::core
