#include "scheduler/metrics_page.h"

#include <array>

#include "common/clock.h"
#include "common/data_dir.h"
#include "common/enum_text.h"
#include "common/file.h"

namespace qsweep {
namespace {

struct Counts {
  std::array<int64_t, v1::RunState_ARRAYSIZE> runs{};
  int64_t open_sweeps = 0;
  int64_t connected = 0, lost = 0;
  int64_t slots = 0, busy = 0;
  bool hold = false;
};

Counts Count(const core::State& state, core::Time now) {
  Counts counts;
  for (const auto& [id, sweep] : state.sweeps) {
    for (size_t i = 0; i < counts.runs.size(); ++i) counts.runs[i] += sweep.count[i];
    if (sweep.open()) ++counts.open_sweeps;
  }
  for (const auto& [id, worker] : state.workers) {
    counts.busy += static_cast<int64_t>(worker.running.size());
    if (worker.session != 0) {
      ++counts.connected;
      counts.slots += worker.info.slots();
    } else if (worker.lease_end > now) {
      ++counts.lost;
    }
  }
  counts.hold = !state.hold.empty();
  return counts;
}

}  // namespace

MetricsPage SchedulerMetrics(Loop& loop, const std::string& data_directory) {
  Counts counts;
  const absl::Duration asked = SystemClock().Monotonic();
  const absl::Status status = loop.Do([&counts](Turn& turn) {
    counts = Count(turn.state, turn.now);
    return absl::OkStatus();
  });
  const double waited = absl::ToDoubleSeconds(SystemClock().Monotonic() - asked);

  MetricsPage page;
  page.Gauge("qsweep_up", "Whether the scheduler works.", status.ok() ? 1 : 0);
  if (status.ok()) {
    page.Gauge("qsweep_loop_wait_seconds",
               "How long the loop took to answer this request, its commit included.", waited);
    for (int state = v1::RUN_STATE_PENDING; state < v1::RunState_ARRAYSIZE; ++state) {
      page.Gauge("qsweep_runs", "Runs of all sweeps.", static_cast<double>(counts.runs[state]),
                 {{"state", EnumText(static_cast<v1::RunState>(state))}});
    }
    page.Gauge("qsweep_open_sweeps", "Sweeps with pending or running runs.",
               static_cast<double>(counts.open_sweeps));
    const char* const kWorkers = "Workers; lost ones have runs until their lease ends.";
    page.Gauge("qsweep_workers", kWorkers, static_cast<double>(counts.connected),
               {{"state", "connected"}});
    page.Gauge("qsweep_workers", kWorkers, static_cast<double>(counts.lost),
               {{"state", "lost_contact"}});
    page.Gauge("qsweep_worker_slots", "Runs that connected workers can do at a time.",
               static_cast<double>(counts.slots));
    page.Gauge("qsweep_worker_slots_busy", "Runs that workers do.",
               static_cast<double>(counts.busy));
    page.Gauge("qsweep_holding", "1 while no new work is taken, for want of disk.", counts.hold);
  }
  page.Gauge("qsweep_disk_free_bytes", "Free for the data directory.",
             static_cast<double>(FreeDiskBytes(data_directory).value_or(0)));
  page.Gauge("qsweep_database_bytes", "Size of the database, without its log.",
             static_cast<double>(FileSize(JoinPath(data_directory, kDatabaseFile)).value_or(0)));
  page.Process();
  return page;
}

}  // namespace qsweep
