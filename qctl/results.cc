#include "qctl/results.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "analysis/output_directory.h"
#include "analysis/summary.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/state_names.h"
#include "common/status.h"

namespace qsweep::qctl {
namespace {

// Names come from a file or from another machine: PathName keeps them within the directory.
absl::Status ExportRun(Client& client, const v1::RunDetail& detail, const std::string& directory) {
  RETURN_IF_ERROR(MakeDirectories(directory));
  for (const v1::FileFact& file : detail.result().files()) {
    RETURN_IF_ERROR(DownloadFile(client, file, JoinPath(directory, PathName(file.name()))));
  }
  RETURN_IF_ERROR(
      WriteFileAtomic(JoinPath(directory, "spec.json"), ToJson(detail.spec(), JsonStyle::kPretty)));
  return WriteFileAtomic(JoinPath(directory, "result.json"),
                         ToJson(detail.result(), JsonStyle::kPrettyWithDefaults));
}

}  // namespace

absl::Status DownloadFile(Client& client, const v1::FileFact& file, const std::string& path) {
  const auto size = FileSize(path);
  if (size.ok() && *size == file.bytes()) {
    const auto sha256 = Sha256HexOfFile(path);
    if (sha256.ok() && *sha256 == file.sha256()) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(AtomicFile local, AtomicFile::Create(path));
  Sha256 hash;
  RETURN_IF_ERROR(client.Download(file.sha256(), [&](absl::string_view bytes) {
    hash.Update(bytes);
    return local.Append(bytes);
  }));
  if (hash.Hex() != file.sha256()) {
    return absl::DataLossError(absl::StrCat(
        path, ": the content that came does not have the SHA-256 of the run's product"));
  }
  return local.Commit();
}

absl::StatusOr<v1::SweepSummary> ExportSweep(Client& client, const v1::Sweep& sweep,
                                             const std::string& directory) {
  v1::SweepSummary summary;
  summary.set_sweep_id(sweep.id());
  summary.set_name(sweep.name());
  summary.set_succeeded(sweep.succeeded());
  summary.set_failed(sweep.failed());
  summary.set_cancelled(sweep.cancelled());
  summary.set_reused(sweep.reused());
  summary.set_directory(JoinPath(directory, PathName(sweep.name())));
  RETURN_IF_ERROR(MakeDirectories(summary.directory()));

  ASSIGN_OR_RETURN(const v1::ListRunsReply runs, client.ListRuns(absl::StrCat(sweep.id()), {}));
  std::vector<RunFacts> facts;
  for (const v1::Run& run : runs.runs()) {
    ASSIGN_OR_RETURN(const v1::RunDetail detail, client.GetRun(absl::StrCat(run.id())));
    facts.push_back({.run = run, .spec = detail.spec()});
    if (run.state() != v1::RUN_STATE_SUCCEEDED) {
      v1::RunFailure& failure = *summary.add_failures();
      failure.set_run(run.name());
      failure.set_error(run.state() == v1::RUN_STATE_FAILED ? run.error() : StateName(run.state()));
      continue;
    }
    RETURN_IF_ERROR(ExportRun(client, detail, JoinPath(summary.directory(), PathName(run.name()))));
    facts.back().result = detail.result();
  }
  for (Group& group : GroupBySeed(facts)) {
    if (group.summary.top1().n() > 0) *summary.add_groups() = std::move(group.summary);
  }
  RETURN_IF_ERROR(WriteFileAtomic(JoinPath(summary.directory(), "summary.json"),
                                  ToJson(summary, JsonStyle::kPrettyWithDefaults)));
  return summary;
}

}  // namespace qsweep::qctl
