#include "analysis/exports/exports.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace qsweep {
namespace {

absl::Status WriteRun(const v1::Sweep& sweep, const RunRecord& record, ExportFormat format,
                      const std::string& directory, OutputDirectory& out) {
  switch (format) {
    case ExportFormat::kCsv:
    case ExportFormat::kJsonLines:
      return AppendTables(record, format, out);
    case ExportFormat::kTensorBoard:
      return WriteTensorBoard(record, out);
    case ExportFormat::kMlflow:
      return WriteMlflowRun(sweep, record, directory, out);
  }
  return absl::OkStatus();
}

}  // namespace

int64_t TimeOf(const v1::Run& run) {
  return run.started_unix_us() > 0 ? run.started_unix_us() : run.ended_unix_us();
}

absl::Status WriteExport(const v1::Sweep& sweep, const std::vector<v1::Run>& runs,
                         const RunReader& read, ExportFormat format, const std::string& directory) {
  ASSIGN_OR_RETURN(OutputDirectory out, OutputDirectory::Create(directory, kExport));
  const std::string absolute = std::filesystem::absolute(directory).lexically_normal().string();
  if (format == ExportFormat::kMlflow) {
    RETURN_IF_ERROR(WriteMlflowExperiment(sweep, absolute, out));
  }
  for (const v1::Run& run : runs) {
    ASSIGN_OR_RETURN(const RunRecord record, read(run));
    RETURN_IF_ERROR(WriteRun(sweep, record, format, absolute, out));
  }
  return out.Commit();
}

}  // namespace qsweep
