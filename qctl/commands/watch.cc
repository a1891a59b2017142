// qctl watch SWEEP: follows a sweep to its end.
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/follow.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

absl::StatusOr<int> Watch(const GlobalOptions& options, const std::string& name) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  // The number keeps meaning this sweep when a newer one takes the name.
  ASSIGN_OR_RETURN(const v1::Sweep found,
                   WhileAway(*connection, [&] { return connection->client().GetSweep(name); }));
  const auto view = options.json ? MakeJsonView() : MakeSweepView(stdout);
  ASSIGN_OR_RETURN(const v1::Sweep sweep,
                   FollowSweep(*connection, absl::StrCat(found.id()), *view));
  return sweep.succeeded() == TotalRuns(sweep) ? kExitGood : kExitRunsFailed;
}

}  // namespace

void AddWatch(CommandLine& line) {
  auto sweep = std::make_shared<std::string>();
  line.Add("watch", "follow a sweep to its end",
           [&options = line.options, sweep] { return Watch(options, *sweep); })
      .AddOption("SWEEP", sweep.get(), "number or name")
      .Required();
}

}  // namespace qsweep::qctl
