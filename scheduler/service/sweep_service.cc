#include "scheduler/service/sweep_service.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/rpc.h"
#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "scheduler/requests.h"
#include "scheduler/service/forecast.h"
#include "scheduler/service/on_loop.h"
#include "scheduler/service/submission.h"
#include "scheduler/service/sweep_watch.h"
#include "scheduler/views.h"
#include "storage/logs.h"
#include "storage/metrics.h"

namespace qsweep {
namespace {

constexpr int64_t kPage = 100, kMaxPage = 1000;
constexpr int64_t kPoints = 10'000, kMaxPoints = 100'000;
constexpr int64_t kLines = 1000, kMaxLines = 10'000;
// In memory they are ten times as large.
constexpr int64_t kMaxWaitingBytes = 32 << 20;

// In the order of their ids.
absl::StatusOr<std::vector<RunId>> RunsOf(Turn& turn, const v1::Target& target) {
  switch (target.target_case()) {
    case v1::Target::kSweep: {
      ASSIGN_OR_RETURN(const SweepId sweep, ResolveSweep(turn.database(), target.sweep()));
      return turn.state.sweeps.at(sweep).runs;
    }
    case v1::Target::kRun: {
      ASSIGN_OR_RETURN(const RunId run, ResolveRun(turn.database(), target.run()));
      return std::vector<RunId>{run};
    }
    default:
      return absl::InvalidArgumentError("name a sweep or a run");
  }
}

// A call that has the core decide about the target's runs.
grpc::ServerUnaryReactor* ForRuns(Loop& loop, grpc::CallbackServerContext* context,
                                  const v1::Target* target, v1::TargetReply* reply,
                                  decltype(core::OnCancel)* decide) {
  return OnLoop(loop, context, [=](Turn& turn) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<RunId> runs, RunsOf(turn, *target));
    reply->set_runs(decide(turn.state, turn.now, runs, turn.effects));
    return absl::OkStatus();
  });
}

// A place in a run's metrics, as a page token: "STEP:NAME" of the last point sent.
absl::StatusOr<storage::MetricRow> MetricPlace(const std::string& token) {
  storage::MetricRow place;
  if (token.empty()) return place;
  const size_t colon = token.find(':');
  if (colon == std::string::npos || !absl::SimpleAtoi(token.substr(0, colon), &place.step)) {
    return absl::InvalidArgumentError("page token: not one of ours");
  }
  place.name = token.substr(colon + 1);
  return place;
}

absl::Status ListMetrics(Turn& turn, const v1::GetMetricsRequest& request,
                         v1::GetMetricsReply* reply) {
  ASSIGN_OR_RETURN(const int64_t limit, PageSize(request.limit(), kPoints, kMaxPoints));
  ASSIGN_OR_RETURN(const storage::MetricRow from, MetricPlace(request.page_token()));
  RETURN_IF_ERROR(CheckFilter("names", request.names_size()));
  ASSIGN_OR_RETURN(const RunId run, ResolveRun(turn.database(), request.run()));
  ASSIGN_OR_RETURN(const storage::RunRow row, ExistingRun(turn.database(), run));
  ASSIGN_OR_RETURN(
      const auto points,
      storage::ReadMetrics(turn.database(), ResultOwner(row),
                           {request.names().begin(), request.names().end()}, from, limit));
  for (const storage::MetricRow& point : points) {
    v1::MetricPoint* out = reply->add_points();
    out->set_name(point.name);
    out->set_step(point.step);
    out->set_value(point.value);
  }
  if (static_cast<int64_t>(points.size()) == limit) {
    reply->set_next_page_token(absl::StrCat(points.back().step, ":", points.back().name));
  }
  return absl::OkStatus();
}

absl::Status ListRunsPage(Turn& turn, const v1::ListRunsRequest& request,
                          v1::ListRunsReply* reply) {
  ASSIGN_OR_RETURN(const int64_t size, PageSize(request.page_size(), kPage, kMaxPage));
  ASSIGN_OR_RETURN(const int64_t after, PageStart(request.page_token(), 0));
  ASSIGN_OR_RETURN(const SweepId sweep, ResolveSweep(turn.database(), request.sweep()));
  RETURN_IF_ERROR(CheckFilter("states", request.states_size()));
  std::vector<v1::RunState> states;
  for (const int state : request.states()) states.push_back(static_cast<v1::RunState>(state));
  ASSIGN_OR_RETURN(const auto rows,
                   storage::ListRuns(turn.database(), sweep, states, RunId(after), size));
  for (const storage::RunRow& row : rows) {
    ASSIGN_OR_RETURN(*reply->add_runs(), RunView(turn.database(), turn.state, turn.now, row));
  }
  if (static_cast<int64_t>(rows.size()) == size) {
    reply->set_next_page_token(absl::StrCat(rows.back().id.value()));
  }
  return absl::OkStatus();
}

absl::Status ListSweepsPage(Turn& turn, const v1::ListSweepsRequest& request,
                            v1::ListSweepsReply* reply) {
  ASSIGN_OR_RETURN(const int64_t size, PageSize(request.page_size(), kPage, kMaxPage));
  ASSIGN_OR_RETURN(const int64_t before, PageStart(request.page_token(), INT64_MAX));
  ASSIGN_OR_RETURN(const auto rows, storage::ListSweeps(turn.database(), SweepId(before), size));
  for (const storage::SweepRow& row : rows)
    *reply->add_sweeps() = SweepView(turn.state, turn.now, row);
  reply->set_hold(turn.state.hold);
  if (static_cast<int64_t>(rows.size()) == size) {
    reply->set_next_page_token(absl::StrCat(rows.back().id.value()));
  }
  return absl::OkStatus();
}

absl::Status ListLogs(Turn& turn, const v1::GetLogsRequest& request, v1::GetLogsReply* reply) {
  ASSIGN_OR_RETURN(const int64_t limit, PageSize(request.limit(), kLines, kMaxLines));
  ASSIGN_OR_RETURN(const RunId run, ResolveRun(turn.database(), request.run()));
  ASSIGN_OR_RETURN(const storage::RunRow row, ExistingRun(turn.database(), run));
  ASSIGN_OR_RETURN(const auto lines,
                   storage::ReadLogs(turn.database(), ResultOwner(row), request.after_id(), limit));
  for (const storage::LogRow& line : lines) {
    v1::LogRecord* out = reply->add_lines();
    out->set_id(line.id);
    out->set_unix_us(line.at_us);
    out->set_attempt(line.attempt.value());
    out->set_level(line.level);
    out->set_text(line.text);
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* SweepService::Queue(Context* context,
                                              const v1::SubmitSweepRequest* request,
                                              std::function<absl::Status()> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto bytes = static_cast<int64_t>(request->ByteSizeLong());
  if (const int64_t before = waiting_bytes_.fetch_add(bytes);
      before > 0 && before + bytes > kMaxWaitingBytes) {
    waiting_bytes_ -= bytes;
    reactor->Finish(ToGrpc(absl::ResourceExhaustedError(
        "other sweeps are being submitted or planned, as many as there is room for; try again")));
    return reactor;
  }
  submissions_.Post([this, context, bytes, work = std::move(work), reactor] {
    const absl::Status status =
        context->IsCancelled() ? absl::CancelledError("the client is gone") : work();
    waiting_bytes_ -= bytes;
    reactor->Finish(ToGrpc(status));
  });
  return reactor;
}

grpc::ServerUnaryReactor* SweepService::SubmitSweep(Context* context,
                                                    const v1::SubmitSweepRequest* request,
                                                    v1::SubmitSweepReply* reply) {
  return Queue(context, request, [=, this]() -> absl::Status {
    // A full disk, or a run it names that has failed since, is not in the way of one that is there.
    bool known = false;
    RETURN_IF_ERROR(loop_.Do([&](Turn& turn) -> absl::Status {
      ASSIGN_OR_RETURN(known, FindSubmission(turn, *request, reply));
      return absl::OkStatus();
    }));
    if (known) return absl::OkStatus();
    RETURN_IF_ERROR(disk_.RoomForWork());
    ASSIGN_OR_RETURN(const auto cells, PrepareSubmission(loop_, *request));
    return loop_.Do([&](Turn& turn) { return StoreSubmission(turn, *request, cells, reply); });
  });
}

grpc::ServerUnaryReactor* SweepService::PlanSweep(Context* context,
                                                  const v1::SubmitSweepRequest* request,
                                                  v1::PlanSweepReply* reply) {
  return Queue(context, request, [=, this]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto cells, PrepareSubmission(loop_, *request));
    return loop_.Do([&](Turn& turn) {
      *reply = Forecast(turn.state, cells);
      return absl::OkStatus();
    });
  });
}

grpc::ServerUnaryReactor* SweepService::GetSweep(Context* context,
                                                 const v1::GetSweepRequest* request,
                                                 v1::Sweep* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) -> absl::Status {
    ASSIGN_OR_RETURN(const SweepId id, ResolveSweep(turn.database(), request->sweep()));
    ASSIGN_OR_RETURN(const storage::SweepRow row, ExistingSweep(turn.database(), id));
    *reply = SweepView(turn.state, turn.now, row);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SweepService::ListSweeps(Context* context,
                                                   const v1::ListSweepsRequest* request,
                                                   v1::ListSweepsReply* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) { return ListSweepsPage(turn, *request, reply); });
}

grpc::ServerUnaryReactor* SweepService::ListRuns(Context* context,
                                                 const v1::ListRunsRequest* request,
                                                 v1::ListRunsReply* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) { return ListRunsPage(turn, *request, reply); });
}

grpc::ServerUnaryReactor* SweepService::GetRun(Context* context, const v1::GetRunRequest* request,
                                               v1::RunDetail* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) -> absl::Status {
    ASSIGN_OR_RETURN(const RunId run, ResolveRun(turn.database(), request->run()));
    ASSIGN_OR_RETURN(*reply, RunDetailView(turn.database(), turn.state, turn.now, run));
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::SweepUpdate>* SweepService::WatchSweep(
    Context* context, const v1::GetSweepRequest* request) {
  return SweepWatch::Start(loop_, door_, CallerOf(door_, *context), request->sweep());
}

grpc::ServerUnaryReactor* SweepService::Cancel(Context* context, const v1::Target* target,
                                               v1::TargetReply* reply) {
  return ForRuns(loop_, context, target, reply, core::OnCancel);
}

grpc::ServerUnaryReactor* SweepService::Retry(Context* context, const v1::Target* target,
                                              v1::TargetReply* reply) {
  return ForRuns(loop_, context, target, reply, core::OnRetry);
}

grpc::ServerUnaryReactor* SweepService::Pause(Context* context, const v1::Target* target,
                                              v1::TargetReply* reply) {
  return ForRuns(loop_, context, target, reply, core::OnPause);
}

grpc::ServerUnaryReactor* SweepService::Resume(Context* context, const v1::Target* target,
                                               v1::TargetReply* reply) {
  return ForRuns(loop_, context, target, reply, core::OnResume);
}

grpc::ServerUnaryReactor* SweepService::Drain(Context* context, const v1::DrainRequest* request,
                                              v1::WorkerStatus* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) -> absl::Status {
    ASSIGN_OR_RETURN(const WorkerId id, ResolveWorker(turn.state, request->worker()));
    core::OnDrain(turn.state, turn.now, id, request->move_runs(), turn.effects);
    *reply = WorkerView(turn.state, turn.state.workers.at(id), turn.now, turn.unix_us);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SweepService::Undrain(Context* context, const v1::UndrainRequest* request,
                                                v1::WorkerStatus* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) -> absl::Status {
    ASSIGN_OR_RETURN(const WorkerId id, ResolveWorker(turn.state, request->worker()));
    core::OnUndrain(turn.state, id, turn.effects);
    *reply = WorkerView(turn.state, turn.state.workers.at(id), turn.now, turn.unix_us);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SweepService::GetMetrics(Context* context,
                                                   const v1::GetMetricsRequest* request,
                                                   v1::GetMetricsReply* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) { return ListMetrics(turn, *request, reply); });
}

grpc::ServerUnaryReactor* SweepService::GetLogs(Context* context, const v1::GetLogsRequest* request,
                                                v1::GetLogsReply* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) { return ListLogs(turn, *request, reply); });
}

grpc::ServerUnaryReactor* SweepService::ListWorkers(Context* context, const v1::ListWorkersRequest*,
                                                    v1::ListWorkersReply* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) {
    for (const auto& [id, worker] : turn.state.workers) {
      *reply->add_workers() = WorkerView(turn.state, worker, turn.now, turn.unix_us);
    }
    return absl::OkStatus();
  });
}

}  // namespace qsweep
