#include "scheduler/core/waiting.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "scheduler/core/fit.h"
#include "scheduler/core/transitions.h"

namespace qsweep::core {
namespace {

std::string Memory(int64_t bytes) {
  return bytes < 1'000'000'000 ? absl::StrFormat("%.0f MB", 1e-6 * bytes)
                               : absl::StrFormat("%.1f GB", 1e-9 * bytes);
}

std::string Seconds(absl::Duration duration) {
  return absl::StrCat(std::max<int64_t>(1, absl::ToInt64Seconds(duration)), " s");
}

// Why no connected worker could take it even if it were idle; empty if one could.
std::string WhyNowhere(const State& state, const Needs& needs) {
  bool connected = false, dataset = false, model = false;
  int64_t largest = 0;
  for (const auto& [id, worker] : state.workers) {
    if (worker.session == 0) continue;
    if (IsCapable(worker, needs)) return "";
    connected = true;
    if (!HasDataset(worker, needs)) continue;
    dataset = true;
    if (!HasModel(worker, needs)) continue;
    model = true;
    largest = std::max(largest, worker.info.memory_bytes());
  }
  if (!connected) return "no worker is connected";
  if (!dataset) return absl::StrCat("no connected worker has the dataset ", needs.dataset);
  if (!model) {
    return absl::StrCat("no connected worker with the dataset ", needs.dataset,
                        " has the weights of ", needs.model);
  }
  return absl::StrCat("needs ", Memory(needs.memory_bytes),
                      ", the largest connected worker with its data has ", Memory(largest));
}

// What keeps it from a worker that is able to run it.
std::string WhyNotNow(const State& state, Time now, const WorkerId& id, const Worker& worker,
                      const Run& run) {
  if (!state.hold.empty()) return state.hold;
  if (worker.draining) return "draining: it gets no more runs";
  if (std::string remark = WorkerRemark(state, now, worker); !remark.empty()) return remark;
  if (!MayUse(state, {run.sweep, run.needs, run.avoided}, id)) {
    return "it failed there before, and there are others";
  }
  if (FreeSlots(state, now, worker) <= 0) {
    return absl::StrCat("busy with ", worker.running.size() + worker.stopping.size(), " of ",
                        worker.info.slots(), " runs");
  }
  if (!HasMemoryNow(worker, run.needs)) {
    return absl::StrCat("needs ", Memory(run.needs.memory_bytes), "; ",
                        Memory(worker.info.memory_bytes() - worker.reserved_bytes), " of ",
                        Memory(worker.info.memory_bytes()), " are free");
  }
  return "runs that go before it are being placed";
}

// What happened to it last, behind what it waits for.
std::string LastError(const Run& run) {
  return run.last_error.empty() ? "" : absl::StrCat(": ", run.last_error);
}

auto QueueOf(const State& state, SweepId sweep) { return state.queue.lower_bound(Line{sweep}); }

}  // namespace

std::string WaitingReason(const State& state, Time now, const Run& run) {
  switch (run.wait) {
    case Wait::kTwin: {
      const RunId active = state.cells.at(run.key).active;
      return absl::StrCat("run ", active.value(), " computes the same: waits for its result",
                          state.runs.at(active).paused ? " (it is paused)" : "");
    }
    case Wait::kWeights: {
      const RunId active = state.cells.at(run.weights_key).active;
      return absl::StrCat("waits for the weights of run ", active.value(),
                          state.runs.at(active).paused ? " (it is paused)" : "");
    }
    case Wait::kDelayed:
      return absl::StrCat("retried in ", Seconds(run.not_before - now), LastError(run));
    case Wait::kPaused:
      return "paused";
    case Wait::kQueued:
      break;
  }
  if (!state.hold.empty()) return state.hold;
  if (std::string why = WhyNowhere(state, run.needs); !why.empty()) return why;
  bool quarantine = false;
  std::string refusal;
  for (const auto& [id, worker] : state.workers) {
    if (!IsCapable(worker, run.needs) || worker.draining) continue;
    if (InQuarantine(state, worker)) {
      quarantine = true;
    } else if (worker.refuses.empty()) {
      return "every worker that fits is busy";
    } else {
      refusal = absl::StrCat(worker.info.name(), " takes no runs: ", worker.refuses);
    }
  }
  if (!refusal.empty()) return refusal;
  if (!quarantine) return "every worker that fits is draining";
  return absl::StrCat("every worker that fits is in quarantine after repeated faults",
                      LastError(run));
}

std::string WhyUnfit(const Worker& worker, const Needs& needs) {
  if (worker.session == 0) return "not connected";
  if (!HasDataset(worker, needs)) return absl::StrCat("lacks the dataset ", needs.dataset);
  if (!HasModel(worker, needs)) return absl::StrCat("lacks the weights of ", needs.model);
  if (!IsLargeEnough(worker, needs)) {
    return absl::StrCat("needs ", Memory(needs.memory_bytes), ", it has ",
                        Memory(worker.info.memory_bytes()));
  }
  return "";
}

std::vector<std::pair<std::string, std::string>> WorkerVerdicts(const State& state, Time now,
                                                                const Run& run) {
  std::vector<std::pair<std::string, std::string>> verdicts;
  if (run.state != v1::RUN_STATE_PENDING || run.wait != Wait::kQueued) return verdicts;
  for (const auto& [id, worker] : state.workers) {
    std::string why = WhyUnfit(worker, run.needs);
    if (why.empty()) why = WhyNotNow(state, now, id, worker, run);
    verdicts.emplace_back(worker.info.name(), std::move(why));
  }
  return verdicts;
}

std::string RunRemark(const State& state, Time now, const Run& run) {
  if (run.state != v1::RUN_STATE_RUNNING) {
    if (run.lost_product.empty()) return "";
    return absl::StrCat(
        run.lost_product,
        " is damaged or gone; put it back and restart the scheduler, or retry the run");
  }
  if (state.workers.at(run.worker).session == 0) {
    return absl::StrCat(
        "its worker is out of reach: goes elsewhere unless that is back within its lease of ",
        Seconds(state.policy.lease));
  }
  if (run.stop != StopCause::kNone) {
    return absl::StrCat("writes a checkpoint and stops: ", CauseText(run.stop));
  }
  const absl::Duration still = now - run.last_progress;
  if (still < state.policy.hung_after / 4) {
    const auto usual = state.rates.find({run.kind, run.worker});
    if (usual == state.rates.end() || run.images_per_s <= 0 ||
        run.images_per_s >= usual->second / 2) {
      return "";
    }
    return absl::StrFormat("slow: %.1f img/s, where runs of its kind made %.1f", run.images_per_s,
                           usual->second);
  }
  return absl::StrCat("no step for ", absl::ToInt64Minutes(still), " min; stopped as hung after ",
                      absl::ToInt64Minutes(state.policy.hung_after), " min");
}

std::string WorkerRemark(const State& state, Time now, const Worker& worker) {
  if (!InQuarantine(state, worker)) {
    return worker.refuses.empty() ? "" : absl::StrCat("takes no runs: ", worker.refuses);
  }
  const std::string why = absl::StrCat("in quarantine after ", worker.faults, " faults in a row: ");
  if (worker.rests_until > now) {
    return absl::StrCat(why, "rests for ", Seconds(worker.rests_until - now));
  }
  return absl::StrCat(why, worker.running.empty() ? "is given one run to prove itself"
                                                  : "its trial run is under way");
}

int32_t Unplaceable(const State& state, SweepId sweep) {
  const bool connected = std::any_of(state.workers.begin(), state.workers.end(),
                                     [](const auto& entry) { return entry.second.session != 0; });
  int32_t count = 0;
  for (auto line = QueueOf(state, sweep);
       connected && line != state.queue.end() && line->first.sweep == sweep; ++line) {
    if (!WhyNowhere(state, line->first.needs).empty()) {
      count += static_cast<int32_t>(line->second.size());
    }
  }
  return count;
}

std::string SweepWaits(const State& state, Time now, SweepId id) {
  const Sweep& sweep = state.sweeps.at(id);
  if (sweep.count[v1::RUN_STATE_PENDING] == 0) return "";
  const auto line = QueueOf(state, id);
  if (line != state.queue.end() && line->first.sweep == id) {
    return WaitingReason(state, now, state.runs.at(line->second.begin()->run));
  }
  if (sweep.paused == sweep.count[v1::RUN_STATE_PENDING]) return "paused";
  return "waits for other runs, or for a back-off to end";
}

}  // namespace qsweep::core
