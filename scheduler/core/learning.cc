#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "scheduler/core/fit.h"
#include "scheduler/core/reactor.h"
#include "scheduler/core/transitions.h"

namespace qsweep::core {
namespace {

// A prediction is moved only by more than runs of a kind differ among themselves.
constexpr int64_t kNoiseBytes = 32 << 20;

}  // namespace

void OnMeasured(State& state, Time now, const std::string& kind, const WorkerId& worker,
                int64_t excess_bytes, double images_per_s) {
  state.rates[{kind, worker}] = images_per_s;
  const auto known = state.excess_bytes.find(kind);
  if (known != state.excess_bytes.end() && excess_bytes <= known->second + kNoiseBytes) return;
  state.excess_bytes[kind] = excess_bytes;
  std::vector<RunId> queued;
  for (const auto& [line, positions] : state.queue) {
    for (const Position& position : positions) {
      if (state.runs.at(position.run).kind == kind) queued.push_back(position.run);
    }
  }
  for (const RunId id : queued) {
    Run& run = state.runs.at(id);
    const Time since = run.queued_at;
    Withdraw(state, run);
    Enqueue(state, now, run);
    run.queued_at = since;
  }
}

double KnownRate(double said) { return std::isfinite(said) && said > 0 ? said : 0; }

int64_t PredictBytes(const State& state, const std::string& kind, int64_t estimated_bytes) {
  const auto known = state.excess_bytes.find(kind);
  if (kind.empty() || known == state.excess_bytes.end()) return estimated_bytes;
  // An estimate that was far too high for one micro-batch says little of a much smaller one.
  return std::max(estimated_bytes + known->second, estimated_bytes / 4);
}

int64_t NeededBytes(const State& state, const Run& run) {
  const int64_t predicted = PredictBytes(state, run.kind, run.estimated_bytes);
  if (run.exhausted_bytes == 0) return predicted;
  int64_t largest = 0;
  for (const auto& [id, worker] : state.workers) {
    if (HasDataset(worker, run.needs) && HasModel(worker, run.needs)) {
      largest = std::max(largest, worker.info.memory_bytes());
    }
  }
  return std::max(predicted, std::min(largest, run.exhausted_bytes / 4 * 5));
}

}  // namespace qsweep::core
