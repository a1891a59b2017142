// A whole set-up for tests: real daemons as real processes on a Unix socket in a directory of its
// own, with short leases. Whatever still runs is killed on destruction.
#ifndef QSWEEP_TESTS_CLUSTER_H_
#define QSWEEP_TESTS_CLUSTER_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "qsweep/v1/sweep.grpc.pb.h"

namespace qsweep::testing {

struct WorkerOptions {
  int slots = 1;
  std::vector<std::string> before;  // its command line, as in nsenter ...
};

class Cluster {
 public:
  // `trainer`: what workers start for each run; empty: the qtrain beside them.
  explicit Cluster(std::string trainer = "");
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Before the first start: from then on workers dial this name, over TLS, each with an invitation.
  void ServeTls(const std::string& host);
  void StartScheduler(absl::Duration lease = absl::Seconds(3));
  // One slot and one thread, so that every worker computes the same bytes.
  void StartWorker(const std::string& name, const WorkerOptions& options = {});

  // SIGKILL; then start again with the calls above.
  void KillScheduler();
  void KillWorker(const std::string& name);
  // Starts again each daemon that was killed from outside; fails the test if one died of itself.
  void StartWhatDied();
  // Every trainer that runs now; returns how many there were.
  int KillTrainers();
  // To all processes of the worker's machine: as when a laptop is suspended (SIGSTOP) and woken
  // (SIGCONT).
  void Signal(const std::string& name, int signal);
  // Only the trainers of one worker.
  int KillTrainersOf(const std::string& name);
  // SIGTERM to a worker and its clean end.
  void StopWorker(const std::string& name);

  bool SchedulerRuns() const { return scheduler_ != 0; }
  bool WorkerRuns(const std::string& name) const { return workers_.contains(name); }

  // The request id makes a retry the same sweep. Retries while the scheduler is away.
  v1::SubmitSweepReply Submit(const std::string& yaml, const std::string& request_id);
  // Retries while the scheduler is away; fails the test after a minute.
  v1::Sweep GetSweep(const std::string& sweep);
  std::vector<v1::Run> Runs(const std::string& sweep);
  v1::RunDetail Detail(int64_t run_id);
  std::vector<v1::MetricPoint> Metrics(int64_t run_id);
  // Waits until no run is pending or running; fails the test at the timeout.
  v1::Sweep WaitForEnd(const std::string& sweep, absl::Duration timeout);

  // The worker of this name; empty if the scheduler knows none.
  v1::WorkerStatus Worker(const std::string& name);

  v1::SweepService::Stub& stub() { return *stub_; }
  const std::string& directory() const { return directory_; }
  std::string SchedulerDirectory() const { return directory_ + "/scheduler"; }
  std::string WorkerDirectory(const std::string& name) const;

 private:
  std::string Invite(const std::string& name);
  pid_t Start(const std::string& name, const std::vector<std::string>& argv);

  const std::string trainer_;
  std::string directory_;
  std::string address_;
  std::string tls_host_;  // empty: workers use the socket
  pid_t scheduler_ = 0;
  std::map<std::string, pid_t> workers_;
  std::unique_ptr<v1::SweepService::Stub> stub_;
};

// Until it holds; how long that took. Fails the test after a minute.
absl::Duration Await(const std::function<bool()>& condition);

// The trainers (qtrain) whose command line names something under `directory`.
std::vector<pid_t> TrainersUnder(const std::string& directory);

}  // namespace qsweep::testing

#endif  // QSWEEP_TESTS_CLUSTER_H_
