#include "scheduler/core/placement.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <tuple>
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
  int32_t priority = 0;
  int32_t running = 0;  // of its sweep
  RunId run;
  const Line* line = nullptr;
  // The one to be placed first is the least.
  friend bool operator<(const Head& a, const Head& b) {
    return std::tie(b.priority, a.running, a.run) < std::tie(a.priority, b.running, b.run);
  }
};

class Placement {
 public:
  Placement(State& state, Time now, Effects& effects)
      : state_(state), now_(now), effects_(effects) {}

  void PlaceAll() {
    if (state_.queue.empty()) return;
    for (auto& [id, worker] : state_.workers) {
      const int64_t slots = FreeSlots(state_, now_, worker);
      if (slots <= 0) continue;
      roomy_.push_back({&id, &worker});
      free_slots_ += slots;
    }
    for (const auto& [line, positions] : state_.queue) heads_.insert(HeadOf(line, positions));
    std::vector<Head> unplaced;
    while (!heads_.empty() && free_slots_ > 0) {
      const Head head = *heads_.begin();
      heads_.erase(heads_.begin());
      const int32_t running = RunningOf(*head.line);
      if (head.running != running) {  // others of its sweep were placed meanwhile
        heads_.insert({head.priority, running, head.run, head.line});
        continue;
      }
      if (Worker* worker = Choose(head)) {
        Start(head, *worker);
      } else {
        unplaced.push_back(head);
      }
    }
    unplaced.insert(unplaced.end(), heads_.begin(), heads_.end());
    for (const Head& head : unplaced) NoteReason(head);
    Preempt(std::move(unplaced));
  }

 private:
  struct Roomy {
    const WorkerId* id;
    Worker* worker;
  };
  // A worker that fits, as it stood when it was last looked at: others may have used it since.
  struct Candidate {
    int64_t free_slots;
    double rate;
    Roomy at;
    // The best is the greatest: the emptiest, then the fastest, then by id.
    bool operator<(const Candidate& other) const {
      if (free_slots != other.free_slots) return free_slots < other.free_slots;
      if (rate != other.rate) return rate < other.rate;
      return *other.at.id < *at.id;
    }
  };
  struct Candidates {
    std::priority_queue<Candidate> heap;
    std::vector<WorkerId> short_of_memory;
  };

  int32_t RunningOf(const Line& line) const {
    return state_.sweeps.at(line.sweep).count[v1::RUN_STATE_RUNNING];
  }
  Head HeadOf(const Line& line, const std::set<Position>& positions) const {
    return {positions.begin()->priority, RunningOf(line), positions.begin()->run, &line};
  }

  void Start(const Head& head, Worker& worker) {
    const auto& positions = state_.queue.at(*head.line);
    const bool last = positions.size() == 1;  // then the line goes with it
    StartAttempt(state_, now_, state_.runs.at(head.run), worker, effects_);
    --free_slots_;
    if (!last) heads_.insert(HeadOf(*head.line, positions));
  }

  // While runs are placed, workers only become fuller: who is out of question once remains so.
  Worker* Choose(const Head& head) {
    Candidates& candidates = CandidatesFor(head);
    auto& heap = candidates.heap;
    while (!heap.empty()) {
      Candidate best = heap.top();
      const int64_t slots = FreeSlots(state_, now_, *best.at.worker);
      if (slots == best.free_slots) {
        const auto kept = kept_for_.find(*best.at.id);
        const bool kept_for_others = kept != kept_for_.end() && kept->second > head.priority;
        if (!kept_for_others && HasMemoryNow(*best.at.worker, head.line->needs)) {
          return best.at.worker;
        }
        if (!kept_for_others) candidates.short_of_memory.push_back(*best.at.id);
        heap.pop();
        continue;
      }
      heap.pop();
      best.free_slots = slots;
      if (slots > 0) heap.push(best);
    }
    for (const WorkerId& id : candidates.short_of_memory) {
      kept_for_.emplace(id, head.priority);
    }
    return nullptr;
  }

  Candidates& CandidatesFor(const Head& head) {
    const std::string& kind = state_.runs.at(head.run).kind;  // runs of a line may differ in it
    const auto [known, fresh] = candidates_.try_emplace({head.line, kind});
    if (fresh) {
      std::vector<Candidate> fit;
      for (const Roomy& at : roomy_) {
        const int64_t slots = FreeSlots(state_, now_, *at.worker);
        if (slots <= 0 || !IsCapable(*at.worker, head.line->needs) ||
            !MayUse(state_, *head.line, *at.id)) {
          continue;
        }
        fit.push_back({slots, RateOf(kind, *at.id), at});
      }
      known->second.heap = std::priority_queue<Candidate>({}, std::move(fit));
    }
    return known->second;
  }

  // Images per second that a run of this kind has made there; 0: unknown.
  double RateOf(const std::string& kind, const WorkerId& worker) const {
    const auto rate = state_.rates.find({kind, worker});
    return rate == state_.rates.end() ? 0 : rate->second;
  }

  // For the history: what the line's first run waited for last, before it was placed.
  void NoteReason(const Head& head) {
    state_.reasons[*head.line] = WaitingReason(state_, now_, state_.runs.at(head.run));
  }

  // --- Preemption

  void Preempt(std::vector<Head> waiting) {
    std::sort(waiting.begin(), waiting.end());
    if (waiting.empty() || !AnyRunsBelow(waiting.front().priority)) return;
    std::optional<int32_t> lowest;  // priority of what could be stopped
    int64_t coming = 0;             // slots that earlier stops will free
    for (const auto& [id, worker] : state_.workers) {
      for (const RunId run_id : worker.running) {
        const Run& run = state_.runs.at(run_id);
        if (run.stop == StopCause::kPreempted) ++coming;
        if (run.stop == StopCause::kNone) {
          lowest = std::min(lowest.value_or(run.priority), run.priority);
        }
      }
    }
    for (const Head& head : waiting) {
      if (!lowest || head.priority <= *lowest) return;
      for (const Position& position : state_.queue.at(*head.line)) {
        if (coming > 0) {
          --coming;
        } else if (!StopFor(*head.line, state_.runs.at(position.run))) {
          break;
        }
      }
    }
  }

  bool AnyRunsBelow(int32_t priority) const {
    return std::any_of(state_.sweeps.begin(), state_.sweeps.end(), [&](const auto& entry) {
      return entry.second.count[v1::RUN_STATE_RUNNING] > 0 && entry.second.priority < priority;
    });
  }

  // Stops as few runs of lower priority as make room for this one; false if that cannot be.
  bool StopFor(const Line& line, const Run& run) {
    std::vector<RunId> best;
    for (const auto& [id, worker] : state_.workers) {
      if (worker.draining || !worker.refuses.empty() || InQuarantine(state_, worker) ||
          !IsCapable(worker, line.needs) || !MayUse(state_, line, id)) {
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
      const Run& run = state_.runs.at(id);
      if (run.priority < priority && run.stop == StopCause::kNone) {
        order.emplace_back(run.priority, -id.value());
      }
    }
    std::sort(order.begin(), order.end());
    int64_t slots = FreeSlots(state_, now_, worker);
    int64_t reserved = worker.reserved_bytes;
    const auto room = [&] {
      return slots > 0 && (worker.info.memory_bytes() == 0 ||
                           reserved + needs.memory_bytes <= worker.info.memory_bytes());
    };
    std::vector<RunId> victims;
    for (const auto& [lower, negated] : order) {
      if (room()) break;
      victims.emplace_back(-negated);
      reserved -= state_.runs.at(victims.back()).memory_bytes;
      ++slots;
    }
    if (!room()) victims.clear();
    return victims;
  }

  State& state_;
  const Time now_;
  Effects& effects_;
  std::vector<Roomy> roomy_;  // with a free slot at first
  int64_t free_slots_ = 0;    // of all
  std::set<Head> heads_;
  std::map<std::pair<const Line*, std::string>, Candidates> candidates_;
  std::map<WorkerId, int32_t> kept_for_;  // the priority of a run that waits for memory there
};

}  // namespace

void Place(State& state, Time now, Effects& effects) {
  if (state.hold.empty()) Placement(state, now, effects).PlaceAll();
}

}  // namespace qsweep::core
