// qctl cancel, qctl retry: of a whole sweep or of one run.
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

struct Target {
  std::string sweep;
  std::string run;
};

template <typename Request>
absl::StatusOr<Request> MakeRequest(const Target& target) {
  if (target.sweep.empty() == target.run.empty()) {
    return absl::InvalidArgumentError("name a SWEEP or --run RUN, one of the two");
  }
  Request request;
  if (target.run.empty()) {
    request.set_sweep(target.sweep);
  } else {
    request.set_run(target.run);
  }
  return request;
}

absl::StatusOr<int> Cancel(const GlobalOptions& options, const Target& target) {
  ASSIGN_OR_RETURN(const auto request, MakeRequest<v1::CancelRequest>(target));
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::CancelReply reply, connection->client().Cancel(request));
  if (options.json) {
    PrintJson(reply);
  } else {
    PrintLine(absl::StrCat(Plural(reply.cancelled(), "run"), " cancelled"));
  }
  return kExitGood;
}

absl::StatusOr<int> Retry(const GlobalOptions& options, const Target& target) {
  ASSIGN_OR_RETURN(const auto request, MakeRequest<v1::RetryRequest>(target));
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::RetryReply reply, connection->client().Retry(request));
  if (options.json) {
    PrintJson(reply);
  } else {
    PrintLine(absl::StrCat(Plural(reply.retried(), "run"), " to be tried again"));
  }
  if (reply.retried() > 0 && connection->embedded() != nullptr) {
    Note("`qctl run`, with or without the sweep's file, trains here.");
  }
  return kExitGood;
}

void Add(CommandLine& line, const std::string& name, const std::string& description,
         absl::StatusOr<int> (*command)(const GlobalOptions&, const Target&)) {
  auto target = std::make_shared<Target>();
  CLI::App* app = line.Add(name, description, [&options = line.options, target, command] {
    return command(options, *target);
  });
  app->add_option("SWEEP", target->sweep, "number or name");
  app->add_option("--run", target->run, "one run only: number or SWEEP/NAME");
}

}  // namespace

void AddCancelAndRetry(CommandLine& line) {
  Add(line, "cancel", "cancel what has not ended of a sweep, or one run", &Cancel);
  Add(line, "retry", "try failed and cancelled runs of a sweep again, or one run", &Retry);
}

}  // namespace qsweep::qctl
