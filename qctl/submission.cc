#include "qctl/submission.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/spec/spec.h"
#include "common/status.h"

namespace qsweep::qctl {

absl::StatusOr<SweepPlan> LoadPlan(const std::string& path) {
  absl::StatusOr<SweepPlan> plan = LoadSweepFile(path);
  if (!plan.ok()) return absl::InvalidArgumentError(plan.status().message());
  return plan;
}

v1::SubmitSweepRequest RequestOf(SweepPlan plan, int max_cells) {
  v1::SubmitSweepRequest request;
  request.set_name(std::move(plan.name));
  request.set_priority(plan.priority);
  request.set_source_yaml(std::move(plan.source_yaml));
  for (SweepPlan::Cell& planned : plan.cells) {
    if (max_cells > 0 && request.cells_size() == max_cells) break;
    v1::Cell& cell = *request.add_cells();
    cell.set_name(std::move(planned.name));
    *cell.mutable_spec() = std::move(planned.spec);
  }
  return request;
}

absl::StatusOr<v1::SubmitSweepRequest> LoadSubmission(const std::string& path, int max_cells) {
  ASSIGN_OR_RETURN(SweepPlan plan, LoadPlan(path));
  return RequestOf(std::move(plan), max_cells);
}

absl::StatusOr<std::string> ContentRequestId(Client& client,
                                             const v1::SubmitSweepRequest& request) {
  std::set<std::string> bases;
  for (const v1::Cell& cell : request.cells()) {
    if (const auto base = ProducerOf(cell.spec().model())) bases.insert(*base);
  }
  Sha256 hash;
  hash.Update(absl::StrCat(request.name(), "\n", request.source_yaml()));
  for (const std::string& base : bases) {
    const absl::StatusOr<v1::RunDetail> run = client.GetRun(base);
    // One that is not there is the scheduler's to complain about.
    if (!run.ok() && !absl::IsNotFound(run.status()) && !absl::IsInvalidArgument(run.status())) {
      return run.status();
    }
    hash.Update(absl::StrCat("\n", base, " ", run.ok() ? run->run().key() : ""));
  }
  return absl::StrCat("content-", hash.Hex());
}

}  // namespace qsweep::qctl
