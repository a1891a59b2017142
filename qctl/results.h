// The files of a finished sweep, brought to where a person looks for them:
//   DIR/SWEEP/RUN/{adapter_model.safetensors, adapter_config.json, ...}  what the run produced
//   DIR/SWEEP/RUN/{spec.json, result.json}
//   DIR/SWEEP/summary.json
#ifndef QSWEEP_QCTL_RESULTS_H_
#define QSWEEP_QCTL_RESULTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "qctl/client.h"
#include "qsweep/v1/summary.pb.h"

namespace qsweep::qctl {

// Writes what is missing or differs (each file whole or not at all, its SHA-256 checked) and
// returns the summary. The sweep must have ended.
absl::StatusOr<v1::SweepSummary> ExportSweep(Client& client, const v1::Sweep& sweep,
                                             const std::string& directory);

// One product of a run, whole or not at all, its SHA-256 checked; nothing is done if it is there.
absl::Status DownloadFile(Client& client, const v1::FileFact& file, const std::string& path);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_RESULTS_H_
