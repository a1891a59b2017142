#include "qctl/client.h"

#include <grpc/support/time.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/hash.h"
#include "common/rpc.h"
#include "common/status.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(15);
// 100,000 cells are validated, stored and synced.
constexpr absl::Duration kSubmitTimeout = absl::Minutes(5);
// Without a byte more: how long the whole takes is the line's affair.
constexpr absl::Duration kDownloadPatience = absl::Minutes(5);
// Copied and read once more.
constexpr absl::Duration kDatabaseTimeout = absl::Minutes(30);
// How soon Ctrl-C is noticed.
constexpr absl::Duration kPoll = absl::Milliseconds(100);
constexpr int kPageSize = 1000;
constexpr int kMetricPage = 100'000;
constexpr int kLogPage = 10'000;

// A deadline that far from now; gRPC takes a span as one, by its monotonic clock.
gpr_timespec After(absl::Duration duration) {
  return gpr_time_from_millis(absl::ToInt64Milliseconds(duration), GPR_TIMESPAN);
}

// Waits for the next completion; GOT_EVENT, TIMEOUT, or InterruptedError.
absl::StatusOr<grpc::CompletionQueue::NextStatus> WaitOn(grpc::CompletionQueue& queue, bool* ok,
                                                         absl::Duration timeout) {
  for (absl::Duration left = timeout;; left -= kPoll) {
    // First: of a stream that never falls silent, too, and of a signal that came before the call.
    if (Interrupts() > 0) return InterruptedError();
    void* tag = nullptr;
    const auto next = queue.AsyncNext(&tag, ok, After(std::min(left, kPoll)));
    if (next == grpc::CompletionQueue::GOT_EVENT) return next;
    if (left <= kPoll) return grpc::CompletionQueue::TIMEOUT;
  }
}

template <typename Stub, typename Request, typename Reply>
absl::StatusOr<Reply> Call(Stub& stub,
                           std::unique_ptr<grpc::ClientAsyncResponseReader<Reply>> (Stub::*start)(
                               grpc::ClientContext*, const Request&, grpc::CompletionQueue*),
                           const Request& request, absl::Duration timeout = kCallTimeout) {
  grpc::ClientContext context;
  context.set_deadline(After(timeout));
  grpc::CompletionQueue queue;
  Reply reply;
  grpc::Status status;
  const auto call = (stub.*start)(&context, request, &queue);
  call->Finish(&reply, &status, nullptr);
  bool ok = false;
  const auto waited = WaitOn(queue, &ok, absl::InfiniteDuration());
  if (!waited.ok()) {
    context.TryCancel();
    void* tag = nullptr;
    queue.Next(&tag, &ok);  // the call still owns `reply` until it has ended
    return waited.status();
  }
  if (!status.ok()) return FromGrpc(status);
  return reply;
}

// Reads what `start` begins to its end, or until `take` returns an error, Ctrl-C comes, or nothing
// does for `patience`.
template <typename Start, typename Take>
absl::Status Receive(const Start& start, absl::Duration patience, const Take& take) {
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  v1::ArtifactChunk chunk;
  grpc::Status ended;
  const std::unique_ptr<grpc::ClientAsyncReader<v1::ArtifactChunk>> reader = start(context, queue);
  // What is under way owns `chunk` and `ended` until it is over.
  const absl::Cleanup drain = [&] {
    context.TryCancel();
    queue.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) continue;
  };
  // Whether what was begun last has brought something.
  const auto outcome = [&]() -> absl::StatusOr<bool> {
    bool ok = false;
    ASSIGN_OR_RETURN(const auto next, WaitOn(queue, &ok, patience));
    if (next == grpc::CompletionQueue::GOT_EVENT) return ok;
    return absl::DeadlineExceededError(
        absl::StrCat("nothing came for ", absl::FormatDuration(patience)));
  };
  ASSIGN_OR_RETURN(bool more, outcome());
  while (more) {
    reader->Read(&chunk, nullptr);
    ASSIGN_OR_RETURN(more, outcome());
    if (more) RETURN_IF_ERROR(take(chunk));
  }
  reader->Finish(&ended, nullptr);
  RETURN_IF_ERROR(outcome().status());
  return FromGrpc(ended);
}

}  // namespace

bool IsUnreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

Client::Client(const std::shared_ptr<grpc::Channel>& channel)
    : sweeps_(v1::SweepService::NewStub(channel)),
      workers_(v1::WorkerService::NewStub(channel)),
      admin_(v1::AdminService::NewStub(channel)) {}

absl::StatusOr<v1::SubmitSweepReply> Client::Submit(const v1::SubmitSweepRequest& request) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncSubmitSweep, request, kSubmitTimeout);
}

absl::StatusOr<v1::Sweep> Client::GetSweep(const std::string& sweep) {
  v1::GetSweepRequest request;
  request.set_sweep(sweep);
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncGetSweep, request);
}

absl::StatusOr<v1::RunDetail> Client::GetRun(const std::string& run) {
  v1::GetRunRequest request;
  request.set_run(run);
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncGetRun, request);
}

absl::StatusOr<v1::TargetReply> Client::Cancel(const v1::Target& target) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncCancel, target);
}

absl::StatusOr<v1::TargetReply> Client::Retry(const v1::Target& target) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncRetry, target);
}

absl::StatusOr<v1::TargetReply> Client::Pause(const v1::Target& target) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncPause, target);
}

absl::StatusOr<v1::TargetReply> Client::Resume(const v1::Target& target) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncResume, target);
}

absl::StatusOr<v1::WorkerStatus> Client::Drain(const v1::DrainRequest& request) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncDrain, request);
}

absl::StatusOr<v1::WorkerStatus> Client::Undrain(const v1::UndrainRequest& request) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncUndrain, request);
}

absl::StatusOr<v1::PlanSweepReply> Client::PlanSweep(const v1::SubmitSweepRequest& request) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncPlanSweep, request, kSubmitTimeout);
}

absl::StatusOr<v1::ListWorkersReply> Client::ListWorkers() {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncListWorkers, v1::ListWorkersRequest());
}

absl::StatusOr<v1::ListRunsReply> Client::ListRunsPage(const v1::ListRunsRequest& request) {
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncListRuns, request);
}

absl::StatusOr<v1::ListSweepsReply> Client::ListSweeps() {
  v1::ListSweepsReply all;
  v1::ListSweepsRequest request;
  request.set_page_size(kPageSize);
  do {
    ASSIGN_OR_RETURN(const v1::ListSweepsReply page,
                     Call(*sweeps_, &v1::SweepService::Stub::AsyncListSweeps, request));
    all.MergeFrom(page);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  all.clear_next_page_token();
  return all;
}

absl::StatusOr<v1::ListRunsReply> Client::ListRuns(const std::string& sweep,
                                                   const std::vector<v1::RunState>& states) {
  v1::ListRunsReply all;
  v1::ListRunsRequest request;
  request.set_sweep(sweep);
  for (const v1::RunState state : states) request.add_states(state);
  request.set_page_size(kPageSize);
  do {
    ASSIGN_OR_RETURN(const v1::ListRunsReply page, ListRunsPage(request));
    all.MergeFrom(page);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  all.clear_next_page_token();
  return all;
}

absl::StatusOr<v1::GetMetricsReply> Client::GetMetrics(const std::string& run,
                                                       const std::vector<std::string>& names) {
  v1::GetMetricsReply all;
  v1::GetMetricsRequest request;
  request.set_run(run);
  for (const std::string& name : names) request.add_names(name);
  request.set_limit(kMetricPage);
  do {
    ASSIGN_OR_RETURN(v1::GetMetricsReply page,
                     Call(*sweeps_, &v1::SweepService::Stub::AsyncGetMetrics, request));
    request.set_page_token(page.next_page_token());
    if (all.points().empty()) {
      all.Swap(&page);  // nearly always the only one, and a large one
    } else {
      all.MergeFrom(page);
    }
  } while (!request.page_token().empty());
  all.clear_next_page_token();
  return all;
}

absl::StatusOr<v1::GetLogsReply> Client::GetLogs(const std::string& run, int64_t after_id) {
  v1::GetLogsReply all;
  v1::GetLogsRequest request;
  request.set_run(run);
  request.set_after_id(after_id);
  request.set_limit(kLogPage);
  while (true) {
    ASSIGN_OR_RETURN(const v1::GetLogsReply page,
                     Call(*sweeps_, &v1::SweepService::Stub::AsyncGetLogs, request));
    if (page.lines().empty()) return all;
    all.MergeFrom(page);
    request.set_after_id(page.lines().rbegin()->id());
  }
}

absl::Status Client::Ping(absl::Duration timeout) {
  v1::ListSweepsRequest request;
  request.set_page_size(1);
  return Call(*sweeps_, &v1::SweepService::Stub::AsyncListSweeps, request, timeout).status();
}

absl::Status Client::Download(const std::string& sha256,
                              const std::function<absl::Status(absl::string_view)>& sink) {
  v1::DownloadRequest request;
  request.set_sha256(sha256);
  const auto start = [&](grpc::ClientContext& context, grpc::CompletionQueue& queue) {
    return workers_->AsyncDownloadArtifact(&context, request, &queue, nullptr);
  };
  return Receive(start, kDownloadPatience, [&](const v1::ArtifactChunk& chunk) {
    return chunk.has_header() ? absl::OkStatus() : sink(chunk.data());
  });
}

absl::Status Client::BackupDatabase(const std::function<absl::Status(absl::string_view)>& sink) {
  const auto start = [&](grpc::ClientContext& context, grpc::CompletionQueue& queue) {
    return admin_->AsyncBackupDatabase(&context, v1::BackupDatabaseRequest(), &queue, nullptr);
  };
  v1::ArtifactHeader header;
  Sha256 hash;
  RETURN_IF_ERROR(Receive(start, kDatabaseTimeout, [&](const v1::ArtifactChunk& chunk) {
    if (chunk.has_header()) {
      header = chunk.header();
      return absl::OkStatus();
    }
    hash.Update(chunk.data());
    return sink(chunk.data());
  }));
  if (hash.Hex() == header.sha256()) return absl::OkStatus();
  return absl::DataLossError("the copy was damaged on its way; try again");
}

absl::StatusOr<v1::CreateTokenReply> Client::CreateToken(const v1::CreateTokenRequest& request) {
  return Call(*admin_, &v1::AdminService::Stub::AsyncCreateToken, request);
}

absl::StatusOr<v1::ListTokensReply> Client::ListTokens() {
  return Call(*admin_, &v1::AdminService::Stub::AsyncListTokens, v1::ListTokensRequest());
}

absl::StatusOr<v1::RevokeTokenReply> Client::RevokeToken(int64_t id) {
  v1::RevokeTokenRequest request;
  request.set_id(id);
  return Call(*admin_, &v1::AdminService::Stub::AsyncRevokeToken, request);
}

absl::StatusOr<v1::CheckDatabaseReply> Client::CheckDatabase() {
  return Call(*admin_, &v1::AdminService::Stub::AsyncCheckDatabase, v1::CheckDatabaseRequest(),
              kDatabaseTimeout);
}

absl::StatusOr<v1::Health> Client::GetHealth() {
  return Call(*admin_, &v1::AdminService::Stub::AsyncGetHealth, v1::GetHealthRequest());
}

SweepWatch::SweepWatch(Client& client, const std::string& sweep) {
  v1::GetSweepRequest request;
  request.set_sweep(sweep);
  reader_ = client.sweeps().AsyncWatchSweep(&context_, request, &queue_, nullptr);
}

SweepWatch::~SweepWatch() {
  context_.TryCancel();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) continue;
}

absl::StatusOr<SweepWatch::Event> SweepWatch::Next(absl::Duration timeout,
                                                   v1::SweepUpdate* update) {
  while (true) {
    bool ok = false;
    ASSIGN_OR_RETURN(const auto next, WaitOn(queue_, &ok, timeout));
    if (next != grpc::CompletionQueue::GOT_EVENT) return Event::kNothing;
    if (phase_ == Phase::kFinishing) {
      if (!status_.ok()) return FromGrpc(status_);
      return Event::kEnd;
    }
    if (!ok) {  // nothing more to read: ask why
      phase_ = Phase::kFinishing;
      reader_->Finish(&status_, nullptr);
      continue;
    }
    const bool got = std::exchange(phase_, Phase::kReading) == Phase::kReading;
    if (got) *update = std::move(incoming_);
    incoming_.Clear();
    reader_->Read(&incoming_, nullptr);
    if (got) return Event::kUpdate;
  }
}

}  // namespace qsweep::qctl
