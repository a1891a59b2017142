// A sweep in other programs' formats. The same data gives the same bytes.
//   csv, jsonl   runs.* (a line a run: state, spec, result) and metrics.* (a line a point)
//   tensorboard  RUN/events.out.tfevents.SECONDS.qsweep
//   mlflow       a file store: mlflow ui --backend-store-uri DIR
#ifndef QSWEEP_ANALYSIS_EXPORTS_EXPORTS_H_
#define QSWEEP_ANALYSIS_EXPORTS_EXPORTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "analysis/output_directory.h"
#include "analysis/run_files.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep {

enum class ExportFormat { kCsv, kJsonLines, kTensorBoard, kMlflow };

// Reads the runs one by one and writes `directory` whole or not at all; OutputDirectory's rules.
absl::Status WriteExport(const v1::Sweep& sweep, const std::vector<v1::Run>& runs,
                         const RunReader& read, ExportFormat format, const std::string& directory);

// One run's part of each.
absl::Status AppendTables(const RunRecord& record, ExportFormat format, OutputDirectory& out);
absl::Status WriteTensorBoard(const RunRecord& record, OutputDirectory& out);
absl::Status WriteMlflowExperiment(const v1::Sweep& sweep, const std::string& directory,
                                   OutputDirectory& out);
absl::Status WriteMlflowRun(const v1::Sweep& sweep, const RunRecord& record,
                            const std::string& directory, OutputDirectory& out);

// The columns of runs.csv: what a run is and what came of it, each as a path (spec.lora.rank,
// result.best.top1) and a value, empty where there is none.
struct Column {
  std::string path, value;
};
std::vector<Column> RunColumns(const v1::RunDetail& detail);

// When a run began, in microseconds: points carry no time of their own. One that was given another
// run's result never began; it has the time at which it got it.
int64_t TimeOf(const v1::Run& run);

// CRC-32C (Castagnoli), as iSCSI's.
uint32_t Crc32c(absl::string_view bytes);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_EXPORTS_EXPORTS_H_
