#ifndef QSWEEP_SCHEDULER_METRICS_PAGE_H_
#define QSWEEP_SCHEDULER_METRICS_PAGE_H_

#include <string>

#include "common/metrics_http.h"
#include "scheduler/loop.h"

namespace qsweep {

// How it stands: runs, workers, disk, and how long the loop let this very request wait. Any thread
// but the loop's.
MetricsPage SchedulerMetrics(Loop& loop, const std::string& data_directory);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_METRICS_PAGE_H_
