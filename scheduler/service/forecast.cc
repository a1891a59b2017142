#include "scheduler/service/forecast.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "scheduler/core/fit.h"
#include "scheduler/core/reactor.h"
#include "scheduler/core/waiting.h"

namespace qsweep {
namespace {

struct Place {
  const core::Worker* worker = nullptr;
  v1::WorkerFit fit;
};

// The run that has the cell's result, or computes it.
RunId KnownRun(const core::State& state, const std::string& key) {
  const auto cell = state.cells.find(key);
  if (cell == state.cells.end()) return RunId();
  return cell->second.succeeded != RunId() ? cell->second.succeeded : cell->second.active;
}

// On this worker if such a run was measured there, else on any.
double Rate(const core::State& state, const std::string& kind, const WorkerId& worker) {
  const auto here = state.rates.find({kind, worker});
  if (here != state.rates.end()) return here->second;
  const auto any = state.rates.lower_bound({kind, WorkerId()});
  return any != state.rates.end() && any->first.first == kind ? any->second : 0;
}

// Seconds on the fastest of the workers that fit; counts them. 0: unknown.
double SecondsOf(const core::State& state, const SubmittedCell& cell, const core::Needs& needs,
                 std::vector<Place>& places) {
  double fastest = 0;
  for (Place& place : places) {
    if (const std::string why = core::WhyUnfit(*place.worker, needs); !why.empty()) {
      if (place.fit.why_not().empty()) place.fit.set_why_not(cell.name + ": " + why);
      continue;
    }
    place.fit.set_cells(place.fit.cells() + 1);
    fastest = std::max(fastest, Rate(state, cell.spec.kind, WorkerId(place.worker->info.id())));
  }
  return fastest > 0 ? static_cast<double>(cell.images) / fastest : 0;
}

}  // namespace

v1::PlanSweepReply Forecast(const core::State& state, const std::vector<SubmittedCell>& cells) {
  v1::PlanSweepReply reply;
  std::vector<Place> places;
  for (const auto& [id, worker] : state.workers) {
    if (worker.session == 0) continue;
    Place& place = places.emplace_back();
    place.worker = &worker;
    place.fit.set_worker(worker.info.name());
  }
  bool all_timed = true;
  double total = 0, longest = 0;
  for (const SubmittedCell& cell : cells) {
    v1::CellForecast* forecast = reply.add_cells();
    forecast->set_name(cell.name);
    forecast->set_key(cell.spec.key);
    const RunId known = KnownRun(state, cell.spec.key);
    forecast->set_known_run_id(known.value());
    const core::Needs needs{cell.spec.model, cell.spec.dataset,
                            core::PredictBytes(state, cell.spec.kind, cell.spec.memory_bytes)};
    forecast->set_memory_bytes(needs.memory_bytes);
    forecast->set_memory_measured(state.excess_bytes.count(cell.spec.kind) > 0);
    if (known != RunId()) {
      reply.set_known(reply.known() + 1);
      continue;
    }
    forecast->set_seconds(SecondsOf(state, cell, needs, places));
    all_timed &= forecast->seconds() > 0;
    total += forecast->seconds();
    longest = std::max(longest, forecast->seconds());
    reply.set_disk_bytes(reply.disk_bytes() + cell.stored_bytes);
  }
  int64_t slots = 0;
  for (Place& place : places) {
    if (place.fit.cells() > 0 && !place.worker->draining) slots += place.worker->info.slots();
    *reply.add_workers() = std::move(place.fit);
  }
  if (all_timed && slots > 0) {
    reply.set_seconds(std::max(longest, total / static_cast<double>(slots)));
  }
  return reply;
}

}  // namespace qsweep
