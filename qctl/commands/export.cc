// qctl export SWEEP: its runs and metrics, or its adapters, in other programs' formats.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "analysis/exports/exports.h"
#include "common/attempt_dir.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"
#include "qctl/records.h"
#include "qctl/results.h"

namespace qsweep::qctl {
namespace {

struct Options {
  std::string sweep, format, directory;
};

const std::map<std::string, ExportFormat>& Formats() {
  static const auto& formats =
      *new std::map<std::string, ExportFormat>{{"csv", ExportFormat::kCsv},
                                               {"jsonl", ExportFormat::kJsonLines},
                                               {"tensorboard", ExportFormat::kTensorBoard},
                                               {"mlflow", ExportFormat::kMlflow}};
  return formats;
}

// RUN/adapter_model.safetensors and RUN/adapter_config.json, as the run wrote them for PEFT. Runs
// without an adapter have no directory. Returns how many have one.
absl::StatusOr<int> ExportAdapters(Client& client, const v1::ListRunsReply& runs,
                                   const std::string& directory) {
  ASSIGN_OR_RETURN(OutputDirectory out, OutputDirectory::Create(directory, kExport));
  int adapters = 0;
  for (const v1::Run& run : runs.runs()) {
    if (run.state() != v1::RUN_STATE_SUCCEEDED) continue;
    ASSIGN_OR_RETURN(const v1::RunDetail detail, client.GetRun(absl::StrCat(run.id())));
    for (const v1::FileFact& file : detail.result().files()) {
      if (file.name() != kAdapterFile && file.name() != kAdapterConfigFile) continue;
      const std::string name = absl::StrCat(PathName(run.name()), "/", file.name());
      ASSIGN_OR_RETURN(const std::string place, out.Place(name));
      RETURN_IF_ERROR(DownloadFile(client, file, place));
      RETURN_IF_ERROR(out.Placed(name));
      if (file.name() == kAdapterFile) ++adapters;
    }
  }
  if (adapters == 0) return absl::NotFoundError("no run of this sweep has an adapter");
  RETURN_IF_ERROR(out.Commit());
  return adapters;
}

absl::StatusOr<int> Export(const GlobalOptions& global, const Options& options) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(global));
  Client& client = connection->client();
  ASSIGN_OR_RETURN(const v1::Sweep sweep, client.GetSweep(options.sweep));
  ASSIGN_OR_RETURN(const v1::ListRunsReply runs, client.ListRuns(absl::StrCat(sweep.id()), {}));
  const auto format = Formats().find(options.format);
  int written = runs.runs_size();
  if (format == Formats().end()) {
    ASSIGN_OR_RETURN(written, ExportAdapters(client, runs, options.directory));
  } else {
    const std::vector<v1::Run> all(runs.runs().begin(), runs.runs().end());
    RETURN_IF_ERROR(WriteExport(sweep, all,
                                ReadInOrder(client, all, [](const std::string&) { return true; }),
                                format->second, options.directory));
  }
  Note(absl::StrCat(options.directory, ": ", Plural(written, "run"), " as ", options.format));
  return kExitGood;
}

}  // namespace

void AddExport(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command =
      line.Add("export", "write a sweep's runs, metrics or adapters for other programs",
               [&global = line.options, options] { return Export(global, *options); });
  command.AddOption("SWEEP", &options->sweep, "number or name").Required();
  command
      .AddOption("--format", &options->format,
                 "csv, jsonl, tensorboard, mlflow, or peft (adapters)")
      .Required()
      .OneOf({"csv", "jsonl", "tensorboard", "mlflow", "peft"});
  command
      .AddOption("--out", &options->directory,
                 "directory to make; an earlier export there is replaced")
      .Required();
}

}  // namespace qsweep::qctl
