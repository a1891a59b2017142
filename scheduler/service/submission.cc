#include "scheduler/service/submission.h"

#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/spec/datasets.h"
#include "common/spec/kind.h"
#include "common/spec/memory_estimate.h"
#include "common/spec/names.h"
#include "common/spec/spec.h"
#include "common/spec/sweep_file.h"
#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "scheduler/requests.h"
#include "scheduler/views.h"
#include "storage/sweeps.h"

namespace qsweep {
namespace {

constexpr int kMaxComplaints = 20;

// Collects what is wrong, so that all of it can be mended at once.
class Complaints {
 public:
  void Add(const absl::Status& status) {
    if (status.ok()) return;
    if (++count_ <= kMaxComplaints)
      absl::StrAppend(&text_, count_ > 1 ? "\n" : "", status.message());
  }
  absl::Status status() const {
    if (count_ == 0) return absl::OkStatus();
    if (count_ <= kMaxComplaints) return absl::InvalidArgumentError(text_);
    return absl::InvalidArgumentError(
        absl::StrCat(text_, "\nand ", count_ - kMaxComplaints, " more problems"));
  }

 private:
  int count_ = 0;
  std::string text_;
};

absl::Status CheckRequest(const v1::SubmitSweepRequest& request) {
  Complaints complaints;
  complaints.Add(CheckName("request id", request.request_id()));
  complaints.Add(CheckSweepName(request.name()));
  if (request.priority() < -kMaxPriority || request.priority() > kMaxPriority) {
    complaints.Add(absl::InvalidArgumentError(absl::StrCat(
        "priority ", request.priority(), ": must be from ", -kMaxPriority, " to ", kMaxPriority)));
  }
  if (static_cast<int64_t>(request.source_yaml().size()) > kMaxSweepFileBytes) {
    complaints.Add(absl::InvalidArgumentError(
        absl::StrCat("source_yaml: more than ", kMaxSweepFileBytes, " bytes")));
  }
  if (request.cells_size() < 1 || request.cells_size() > kMaxCells) {
    complaints.Add(absl::InvalidArgumentError(
        absl::StrCat(request.cells_size(), " cells: a sweep has 1 to ", kMaxCells)));
  }
  RETURN_IF_ERROR(complaints.status());

  absl::flat_hash_set<std::string> names;
  for (const v1::Cell& cell : request.cells()) {
    complaints.Add(CheckName("cell", cell.name()));
    if (!names.insert(cell.name()).second) {
      complaints.Add(absl::InvalidArgumentError(
          absl::StrCat("cell '", cell.name(), "': its name is taken by another cell")));
    }
  }
  return complaints.status();
}

// The key of the run that is named by SWEEP/RUN or by the key itself.
absl::StatusOr<std::string> ProducerKey(Turn& turn, const std::string& named) {
  std::string key = named;
  if (!IsSha256Hex(named)) {
    ASSIGN_OR_RETURN(const RunId run, ResolveRun(turn.database(), named));
    key = turn.state.runs.at(run).key;
  }
  ASSIGN_OR_RETURN(const auto row, storage::ReadSpec(turn.database(), key));
  if (!row.has_value()) return absl::NotFoundError("no run has this key");
  ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, ReadStoredSpec(row->json));
  if (spec.training().method() != "full") {
    return absl::InvalidArgumentError(
        absl::StrCat("only a run with training.method: full leaves whole weights; this one has ",
                     spec.training().method()));
  }
  const core::Cell& cell = turn.state.cells.at(key);
  if (cell.succeeded == RunId() && cell.active == RunId()) {
    return absl::FailedPreconditionError(
        "this run failed, was cancelled or has lost its files; retry it first");
  }
  return key;
}

absl::Status ResolveProducers(Loop& loop, std::map<std::string, std::string>& keys) {
  if (keys.empty()) return absl::OkStatus();
  return loop.Do([&keys](Turn& turn) {
    Complaints complaints;
    for (auto& [named, key] : keys) {
      absl::StatusOr<std::string> found = ProducerKey(turn, named);
      complaints.Add(Annotate(found.status(), absl::StrCat("model.weights: ", WeightsOf(named))));
      if (found.ok()) key = *std::move(found);
    }
    return complaints.status();
  });
}

storage::SpecRow SpecRowOf(const v1::ExperimentSpec& spec, const std::string& weights_key) {
  storage::SpecRow row;
  row.json = CanonicalJson(spec);
  row.key = Sha256Hex(row.json);  // as RunKey
  if (spec.model().pretrained() && spec.model().weights().empty()) row.model = spec.model().name();
  row.dataset = DatasetOnDisk(spec.dataset());
  row.weights_key = weights_key;
  // What it can come down to: the engine fits its micro-batch to the memory it is given.
  row.memory_bytes = EstimatePeakBytes(spec, /*micro_batch=*/1);
  row.kind = RunKind(spec);
  return row;
}

void Tell(const Turn& turn, SweepId id, bool created, v1::SubmitSweepReply* reply) {
  const core::Sweep& sweep = turn.state.sweeps.at(id);
  reply->set_sweep_id(id.value());
  reply->set_created(created);
  reply->set_runs(static_cast<int32_t>(sweep.runs.size()));
  reply->set_reused(sweep.reused);
}

SubmittedCell CellOf(const std::string& name, const v1::ExperimentSpec& spec,
                     const std::string& weights_key) {
  return {name, SpecRowOf(spec, weights_key), ImagesToTrain(spec), EstimateStoredBytes(spec)};
}

}  // namespace

absl::StatusOr<std::vector<SubmittedCell>> PrepareSubmission(
    Loop& loop, const v1::SubmitSweepRequest& request) {
  RETURN_IF_ERROR(CheckRequest(request));
  Complaints complaints;
  std::vector<SubmittedCell> cells;
  std::map<size_t, v1::ExperimentSpec> consumers;  // cells whose weights another run produces
  std::map<std::string, std::string> producers;    // as named, and their keys
  for (const v1::Cell& cell : request.cells()) {
    absl::StatusOr<v1::ExperimentSpec> spec = CompleteSpec(cell.spec());
    complaints.Add(Annotate(spec.status(), absl::StrCat("cell '", cell.name(), "'")));
    if (!spec.ok()) continue;
    const std::optional<std::string> producer = ProducerOf(spec->model());
    if (!producer) {
      cells.push_back(CellOf(cell.name(), *spec, /*weights_key=*/""));
      continue;
    }
    producers.emplace(*producer, "");
    consumers.emplace(cells.size(), *std::move(spec));
    cells.emplace_back();
  }
  RETURN_IF_ERROR(complaints.status());
  RETURN_IF_ERROR(ResolveProducers(loop, producers));
  for (auto& [index, spec] : consumers) {
    const std::string& key = producers.at(*ProducerOf(spec.model()));
    spec.mutable_model()->set_weights(WeightsOf(key));
    cells[index] = CellOf(request.cells(static_cast<int>(index)).name(), spec, key);
  }
  return cells;
}

absl::StatusOr<bool> FindSubmission(Turn& turn, const v1::SubmitSweepRequest& request,
                                    v1::SubmitSweepReply* reply) {
  ASSIGN_OR_RETURN(const auto before,
                   storage::FindSweepByRequest(turn.database(), request.request_id()));
  if (!before.has_value()) return false;
  ASSIGN_OR_RETURN(const auto sweep, storage::ReadSweep(turn.database(), *before));
  QSWEEP_CHECK(sweep.has_value());
  if (sweep->name != request.name() || sweep->source_yaml != request.source_yaml()) {
    return absl::AlreadyExistsError(
        absl::StrCat("request id ", request.request_id(), ": made sweep ", before->value(), ", ",
                     sweep->name, ", which is another; give this one its own"));
  }
  Tell(turn, *before, /*created=*/false, reply);
  return true;
}

absl::Status StoreSubmission(Turn& turn, const v1::SubmitSweepRequest& request,
                             const std::vector<SubmittedCell>& cells, v1::SubmitSweepReply* reply) {
  ASSIGN_OR_RETURN(const bool known, FindSubmission(turn, request, reply));
  if (known) return absl::OkStatus();
  storage::SweepRow row;
  row.request_id = request.request_id();
  row.name = request.name();
  row.priority = request.priority();
  row.source_yaml = request.source_yaml();
  row.created_us = turn.unix_us;
  ASSIGN_OR_RETURN(const SweepId id, storage::InsertSweep(turn.transaction, row));
  std::vector<core::Run> runs;
  runs.reserve(cells.size());
  for (const SubmittedCell& cell : cells) {
    RETURN_IF_ERROR(storage::InsertSpec(turn.transaction, cell.spec));
    core::Run& run = runs.emplace_back();
    ASSIGN_OR_RETURN(run.id, storage::InsertRun(turn.transaction, id, cell.name, cell.spec.key));
    run.sweep = id;
    run.key = cell.spec.key;
    run.weights_key = cell.spec.weights_key;
    run.kind = cell.spec.kind;
    run.needs = {cell.spec.model, cell.spec.dataset, cell.spec.memory_bytes};
  }
  core::OnSubmit(turn.state, turn.now, id, request.priority(), std::move(runs), turn.effects);
  Tell(turn, id, /*created=*/true, reply);
  return absl::OkStatus();
}

}  // namespace qsweep
