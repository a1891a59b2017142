#include "qctl/records.h"

#include <future>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace qsweep::qctl {
namespace {

// Points come by name, then step.
std::vector<v1::Curve> Curves(const v1::GetMetricsReply& metrics, const MetricFilter& wanted) {
  std::vector<v1::Curve> curves;
  const std::string* name = nullptr;
  bool take = false;
  for (const v1::MetricPoint& point : metrics.points()) {
    if (name == nullptr || *name != point.name()) {
      name = &point.name();
      take = wanted(*name);
      if (take) curves.emplace_back().set_name(*name);
    }
    if (!take) continue;
    curves.back().add_steps(point.step());
    curves.back().add_values(point.value());
  }
  return curves;
}

absl::Status ReadSeries(Client& client, const std::vector<std::string>& names,
                        const MetricFilter& wanted, RunRecord* record) {
  const bool began = record->detail.has_result() || record->detail.run().attempt() > 0;
  if (!began) return absl::OkStatus();
  ASSIGN_OR_RETURN(const v1::GetMetricsReply metrics,
                   client.GetMetrics(absl::StrCat(record->detail.run().id()), names));
  record->curves = Curves(metrics, wanted);
  return absl::OkStatus();
}

absl::StatusOr<RunRecord> ReadRecord(Client& client, const v1::Run& run,
                                     const MetricFilter& wanted) {
  RunRecord record;
  const std::string id = absl::StrCat(run.id());
  ASSIGN_OR_RETURN(record.detail, client.GetRun(id));
  RETURN_IF_ERROR(ReadSeries(client, {}, wanted, &record));
  ASSIGN_OR_RETURN(const v1::GetLogsReply logs, client.GetLogs(id));
  record.logs.assign(logs.lines().begin(), logs.lines().end());
  return record;
}

// One run ahead.
class Prefetcher {
 public:
  Prefetcher(Client& client, std::vector<v1::Run> runs, MetricFilter wanted)
      : client_(client), runs_(std::move(runs)), wanted_(std::move(wanted)) {
    Begin();
  }
  absl::StatusOr<RunRecord> Take(const v1::Run& run) {
    QSWEEP_CHECK(next_ < runs_.size() && runs_[next_].id() == run.id());
    absl::StatusOr<RunRecord> record = ahead_.get();
    ++next_;
    if (record.ok()) Begin();
    return record;
  }

 private:
  void Begin() {
    if (next_ == runs_.size()) return;
    ahead_ = std::async(std::launch::async,
                        [this, &run = runs_[next_]] { return ReadRecord(client_, run, wanted_); });
  }

  Client& client_;
  const std::vector<v1::Run> runs_;
  const MetricFilter wanted_;
  size_t next_ = 0;
  std::future<absl::StatusOr<RunRecord>>
      ahead_;  // last: its end is waited for before the rest goes
};

}  // namespace

RunReader ReadInOrder(Client& client, std::vector<v1::Run> runs, MetricFilter wanted) {
  const auto prefetcher = std::make_shared<Prefetcher>(client, std::move(runs), std::move(wanted));
  return [prefetcher](const v1::Run& run) { return prefetcher->Take(run); };
}

absl::StatusOr<std::vector<RunFacts>> ReadFacts(Client& client, const std::string& sweep,
                                                const std::vector<std::string>& metrics) {
  ASSIGN_OR_RETURN(const v1::ListRunsReply runs, client.ListRuns(sweep, {}));
  std::vector<RunFacts> facts;
  for (const v1::Run& run : runs.runs()) {
    RunRecord record;
    ASSIGN_OR_RETURN(record.detail, client.GetRun(absl::StrCat(run.id())));
    RETURN_IF_ERROR(ReadSeries(
        client, metrics, [](const std::string&) { return true; }, &record));
    facts.push_back(MakeRunFacts(record));
  }
  return facts;
}

}  // namespace qsweep::qctl
