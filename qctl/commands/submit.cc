// qctl submit FILE: hands a sweep to the scheduler and returns.
#include <cstdio>
#include <memory>
#include <optional>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"
#include "qctl/submission.h"

namespace qsweep::qctl {
namespace {

struct Options {
  std::string file;
  std::string request_id;
  bool dry_run = false;
  bool validate_only = false;
  int max_experiments = 0;
};

std::string RandomId() {
  std::random_device random;
  return absl::StrFormat("submit-%08x%08x%08x%08x", random(), random(), random(), random());
}

// The sweep of that name before, if it was made from the same file.
absl::StatusOr<std::optional<int64_t>> SameBefore(Client& client,
                                                  const v1::SubmitSweepRequest& request) {
  const absl::StatusOr<v1::Sweep> before = client.GetSweep(request.name());
  if (absl::IsNotFound(before.status())) return std::nullopt;
  RETURN_IF_ERROR(before.status());
  const bool same = before->name() == request.name() &&
                    TotalRuns(*before) == request.cells_size() &&
                    before->source_yaml() == request.source_yaml();
  return same ? std::optional(before->id()) : std::nullopt;
}

// Of its runs, those that wait in vain. That they cannot be asked for does not undo the submission.
void PrintUnplaceable(Client& client, int64_t id) {
  const absl::StatusOr<v1::Sweep> sweep = client.GetSweep(absl::StrCat(id));
  const std::string text = sweep.ok() ? UnplaceableText(*sweep) : "";
  if (!text.empty()) PrintLine(Printable(text));
}

absl::StatusOr<int> Submit(const GlobalOptions& global, const Options& options) {
  ASSIGN_OR_RETURN(v1::SubmitSweepRequest request,
                   LoadSubmission(options.file, options.max_experiments));
  const std::string runs = Plural(request.cells_size(), "run");
  if (options.validate_only || options.dry_run) {
    if (global.json) {
      PrintJson(request);
      return kExitGood;
    }
    if (options.dry_run) {
      for (const v1::Cell& cell : request.cells()) PrintLine(cell.name());
    }
    PrintLine(absl::StrCat(options.file, ": ", request.name(), ", ", runs, ", no problems",
                           options.dry_run ? "; nothing was submitted" : ""));
    return kExitGood;
  }
  request.set_request_id(options.request_id.empty() ? RandomId() : options.request_id);
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(global, /*create=*/true));
  ASSIGN_OR_RETURN(const std::optional<int64_t> same, WhileAway(*connection, [&] {
                     return SameBefore(connection->client(), request);
                   }));
  // If the answer is lost it asks again: the request id keeps that from making two sweeps.
  ASSIGN_OR_RETURN(const v1::SubmitSweepReply reply,
                   WhileAway(*connection, [&] { return connection->client().Submit(request); }));
  if (global.json) {
    PrintJson(reply);
    return kExitGood;
  }
  PrintLine(absl::StrCat(
      request.name(), ": ", reply.created() ? "submitted" : "was submitted before", " as sweep ",
      reply.sweep_id(), ", ", Plural(reply.runs(), "run"),
      reply.reused() > 0 ? absl::StrCat(", ", reply.reused(), " with a result already") : "",
      reply.created() && same ? absl::StrCat("; the same runs as sweep ", *same) : ""));
  PrintUnplaceable(connection->client(), reply.sweep_id());
  Note(absl::StrCat(
      "Follow it with `qctl watch ", reply.sweep_id(), "`",
      connection->embedded() == nullptr ? "." : "; `qctl run` without a file trains it here."));
  return kExitGood;
}

}  // namespace

void AddSubmit(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command =
      line.Add("submit", "hand a sweep file to the scheduler",
               [&global = line.options, options] { return Submit(global, *options); });
  command.AddOption("FILE", &options->file, "sweep file (YAML)").Required();
  command.AddFlag("--dry-run", &options->dry_run, "show what would be submitted");
  command.AddFlag("--validate-only", &options->validate_only, "check the file and no more");
  command.AddOption("--max-experiments", &options->max_experiments, "submit the first N runs only")
      .Between<int64_t>(1, kMaxCells);
  command.AddOption("--request-id", &options->request_id,
                    "the same id never makes a second sweep (default: a new one)");
}

}  // namespace qsweep::qctl
