// MLflow's file store (mlflow/store/tracking/file_store.py): directories of one-line files.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "analysis/exports/exports.h"
#include "analysis/json.h"
#include "common/hash.h"
#include "common/status.h"

namespace qsweep {
namespace {

// An experiment's id is a decimal number, a run's 32 hexadecimal digits.
std::string ExperimentId(const v1::Sweep& sweep) {
  const std::string hash = Sha256Hex(absl::StrCat("experiment ", sweep.id(), " ", sweep.name()));
  return absl::StrCat(std::stoull(hash.substr(0, 14), nullptr, 16));
}
std::string MlflowRunId(const v1::Run& run) {
  return Sha256Hex(absl::StrCat("run ", run.id(), " ", run.name())).substr(0, 32);
}

// JSON's strings are YAML's too.
std::string Line(const char* key, const std::string& text) {
  return absl::StrCat(key, ": ", JsonString(text), "\n");
}

// MLflow's RunStatus.
int StatusNumber(v1::RunState state) {
  switch (state) {
    case v1::RUN_STATE_RUNNING:
      return 1;
    case v1::RUN_STATE_SUCCEEDED:
      return 3;
    case v1::RUN_STATE_FAILED:
      return 4;
    case v1::RUN_STATE_CANCELLED:
      return 5;
    default:
      return 2;  // scheduled
  }
}

std::string FileUri(const std::string& path) {
  std::string uri = "file://";
  for (const char c : path) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                       absl::string_view("/._-").find(c) != absl::string_view::npos;
    if (plain) {
      uri.push_back(c);
    } else {
      uri.append(absl::StrCat("%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2)));
    }
  }
  return uri;
}

// The store has a file for each metric and a directory for each part before a slash: a name that is
// both gets its own file below.
std::string MetricFile(const RunRecord& record, const std::string& name) {
  const bool both = std::any_of(
      record.curves.begin(), record.curves.end(),
      [&](const v1::Curve& other) { return absl::StartsWith(other.name(), name + "/"); });
  std::string safe;
  for (const char c : name) {
    const bool allowed = absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                         absl::string_view("_-. /").find(c) != absl::string_view::npos;
    safe.push_back(allowed ? c : '_');
  }
  safe = absl::StrReplaceAll(safe, {{"..", "_"}, {"//", "/_"}});
  if (absl::StartsWith(safe, "/")) safe = absl::StrCat("_", safe);
  if (both || absl::EndsWith(safe, "/")) absl::StrAppend(&safe, both ? "/all" : "_");
  return safe;
}

std::string RunMeta(const v1::Run& run, const std::string& experiment, const std::string& id,
                    const std::string& directory) {
  std::string meta = Line("artifact_uri",
                          FileUri(absl::StrCat(directory, "/", experiment, "/", id, "/artifacts")));
  if (run.ended_unix_us() > 0)
    absl::StrAppend(&meta, "end_time: ", run.ended_unix_us() / 1000, "\n");
  return absl::StrCat(meta, "entry_point_name: ''\n", Line("experiment_id", experiment),
                      "lifecycle_stage: active\n", Line("run_id", id), Line("run_name", run.name()),
                      Line("run_uuid", id), "source_name: ''\nsource_type: 4\nsource_version: ''\n",
                      "start_time: ", TimeOf(run) / 1000, "\nstatus: ", StatusNumber(run.state()),
                      "\ntags: []\nuser_id: qsweep\n");
}

}  // namespace

absl::Status WriteMlflowExperiment(const v1::Sweep& sweep, const std::string& directory,
                                   OutputDirectory& out) {
  const std::string id = ExperimentId(sweep);
  return out.Write(
      absl::StrCat(id, "/meta.yaml"),
      absl::StrCat(
          Line("artifact_location", FileUri(absl::StrCat(directory, "/", id))),
          "creation_time: ", sweep.created_unix_us() / 1000, "\n", Line("experiment_id", id),
          "last_update_time: ", std::max(sweep.created_unix_us(), sweep.ended_unix_us()) / 1000,
          "\nlifecycle_stage: active\n",
          Line("name", absl::StrCat(sweep.name(), " (sweep ", sweep.id(), ")"))));
}

absl::Status WriteMlflowRun(const v1::Sweep& sweep, const RunRecord& record,
                            const std::string& directory, OutputDirectory& out) {
  const v1::Run& run = record.detail.run();
  const std::string experiment = ExperimentId(sweep), id = MlflowRunId(run);
  const std::string root = absl::StrCat(experiment, "/", id, "/");
  RETURN_IF_ERROR(out.Write(root + "meta.yaml", RunMeta(run, experiment, id, directory)));
  RETURN_IF_ERROR(out.Write(root + "tags/mlflow.runName", run.name()));
  for (const Column& column : RunColumns(record.detail)) {
    absl::string_view name = column.path;
    if (absl::StartsWith(name, "result.")) continue;
    if (absl::ConsumePrefix(&name, "spec.")) {
      RETURN_IF_ERROR(out.Write(absl::StrCat(root, "params/", name), column.value));
    } else if (!column.value.empty()) {
      RETURN_IF_ERROR(out.Write(absl::StrCat(root, "tags/", name), column.value));
    }
  }
  const int64_t milliseconds = TimeOf(run) / 1000;
  for (const v1::Curve& curve : record.curves) {
    std::string lines;
    for (int i = 0; i < curve.steps_size(); ++i) {
      const double value = curve.values(i);
      absl::StrAppend(&lines, milliseconds, " ",
                      std::isfinite(value) ? JsonNumber(value)
                      : std::isnan(value)  ? "nan"
                      : value > 0          ? "inf"
                                           : "-inf",
                      " ", curve.steps(i), "\n");
    }
    RETURN_IF_ERROR(
        out.Write(absl::StrCat(root, "metrics/", MetricFile(record, curve.name())), lines));
  }
  return absl::OkStatus();
}

}  // namespace qsweep
