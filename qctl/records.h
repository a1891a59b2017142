// Runs as the analysis wants them, from a scheduler.
#ifndef QSWEEP_QCTL_RECORDS_H_
#define QSWEEP_QCTL_RECORDS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "analysis/run_files.h"
#include "qctl/client.h"

namespace qsweep::qctl {

using MetricFilter = std::function<bool(const std::string& name)>;

// Gives each of `runs`, when asked for them in that order: the run, its log and those of its series
// that `wanted` accepts. The next one is fetched meanwhile, on a thread of its own. `client` must
// outlive it.
RunReader ReadInOrder(Client& client, std::vector<v1::Run> runs, MetricFilter wanted);

// All runs of a sweep, as the analysis keeps them, with these series.
absl::StatusOr<std::vector<RunFacts>> ReadFacts(Client& client, const std::string& sweep,
                                                const std::vector<std::string>& metrics);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_RECORDS_H_
