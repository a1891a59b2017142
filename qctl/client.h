// Calls to a scheduler. Every wait ends at once when Ctrl-C comes (InterruptedError) and has a
// limit; Unavailable and DeadlineExceeded mean that the scheduler cannot be reached. Any thread.
#ifndef QSWEEP_QCTL_CLIENT_H_
#define QSWEEP_QCTL_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "qsweep/v1/admin.grpc.pb.h"
#include "qsweep/v1/sweep.grpc.pb.h"
#include "qsweep/v1/worker.grpc.pb.h"

namespace qsweep::qctl {

// Whether the scheduler could not be reached: the same call may work later.
bool IsUnreachable(const absl::Status& status);

class Client {
 public:
  explicit Client(const std::shared_ptr<grpc::Channel>& channel);

  absl::StatusOr<v1::SubmitSweepReply> Submit(const v1::SubmitSweepRequest& request);
  absl::StatusOr<v1::Sweep> GetSweep(const std::string& sweep);
  absl::StatusOr<v1::RunDetail> GetRun(const std::string& run);
  absl::StatusOr<v1::TargetReply> Cancel(const v1::Target& target);
  absl::StatusOr<v1::TargetReply> Retry(const v1::Target& target);
  absl::StatusOr<v1::TargetReply> Pause(const v1::Target& target);
  absl::StatusOr<v1::TargetReply> Resume(const v1::Target& target);
  absl::StatusOr<v1::WorkerStatus> Drain(const v1::DrainRequest& request);
  absl::StatusOr<v1::WorkerStatus> Undrain(const v1::UndrainRequest& request);
  absl::StatusOr<v1::PlanSweepReply> PlanSweep(const v1::SubmitSweepRequest& request);
  absl::StatusOr<v1::ListWorkersReply> ListWorkers();
  // One page, as asked.
  absl::StatusOr<v1::ListRunsReply> ListRunsPage(const v1::ListRunsRequest& request);
  // All pages together.
  absl::StatusOr<v1::ListSweepsReply> ListSweeps();
  absl::StatusOr<v1::ListRunsReply> ListRuns(const std::string& sweep,
                                             const std::vector<v1::RunState>& states);
  absl::StatusOr<v1::GetMetricsReply> GetMetrics(const std::string& run,
                                                 const std::vector<std::string>& names);
  // The lines after that one.
  absl::StatusOr<v1::GetLogsReply> GetLogs(const std::string& run, int64_t after_id = 0);
  absl::StatusOr<v1::CreateTokenReply> CreateToken(const v1::CreateTokenRequest& request);
  absl::StatusOr<v1::ListTokensReply> ListTokens();
  absl::StatusOr<v1::RevokeTokenReply> RevokeToken(int64_t id);
  absl::StatusOr<v1::CheckDatabaseReply> CheckDatabase();
  absl::StatusOr<v1::Health> GetHealth();
  // Hands a copy of the database over piece by piece; DataLoss unless it came as it was sent.
  absl::Status BackupDatabase(const std::function<absl::Status(absl::string_view)>& sink);
  // Whether a scheduler answers within `timeout`.
  absl::Status Ping(absl::Duration timeout);
  // Hands the content over piece by piece; the caller checks it.
  absl::Status Download(const std::string& sha256,
                        const std::function<absl::Status(absl::string_view)>& sink);

  v1::SweepService::Stub& sweeps() { return *sweeps_; }

 private:
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

// The updates of a sweep as they come.
class SweepWatch {
 public:
  SweepWatch(Client& client, const std::string& sweep);
  ~SweepWatch();
  SweepWatch(const SweepWatch&) = delete;
  SweepWatch& operator=(const SweepWatch&) = delete;

  enum class Event { kUpdate, kNothing, kEnd };
  // Waits up to `timeout`. kUpdate fills *update. kEnd: the sweep has ended, nothing more will
  // come.
  absl::StatusOr<Event> Next(absl::Duration timeout, v1::SweepUpdate* update);

 private:
  enum class Phase { kStarting, kReading, kFinishing };
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReader<v1::SweepUpdate>> reader_;
  v1::SweepUpdate incoming_;
  grpc::Status status_;
  Phase phase_ = Phase::kStarting;
};

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_CLIENT_H_
