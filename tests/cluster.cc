#include "tests/cluster.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <filesystem>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/credentials.h"
#include "common/file.h"
#include "common/rpc.h"
#include "common/spec/sweep_file.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "qsweep/v1/admin.grpc.pb.h"

namespace qsweep::testing {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(3);
const std::string kBin = QSWEEP_BIN_DIR;

void KillAndReap(pid_t pid) {
  if (pid == 0) return;  // one that could not be started: 0 would be all of this test's own
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

// Calls until it answers: a scheduler that was just killed is on its way back.
template <typename Reply>
Reply Ask(const std::function<grpc::Status(grpc::ClientContext*, Reply*)>& call) {
  const absl::Duration deadline = SystemClock().Monotonic() + kPatience;
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    Reply reply;
    const grpc::Status status = call(&context, &reply);
    if (status.ok()) return reply;
    const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
                      status.error_code() == grpc::StatusCode::CANCELLED;
    if (!away || SystemClock().Monotonic() > deadline) {
      ADD_FAILURE() << status.error_code() << ": " << status.error_message();
      return reply;
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
}

// Whose program has `program` in its name, and whose command line names something under
// `directory`.
std::vector<pid_t> ProcessesUnder(const std::string& directory, absl::string_view program) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    const auto line = ReadFile(entry.path() / "cmdline", 1 << 16);
    // Arguments end in NUL; c_str() is the first.
    if (line.ok() && absl::StrContains(line->c_str(), program) &&
        absl::StrContains(*line, directory)) {
      found.push_back(pid);
    }
  }
  return found;
}

}  // namespace

absl::Duration Await(const std::function<bool()>& condition) {
  const absl::Duration begin = SystemClock().Monotonic();
  while (!condition()) {
    if (SystemClock().Monotonic() - begin > absl::Minutes(1)) {
      ADD_FAILURE() << "waited in vain";
      break;
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return SystemClock().Monotonic() - begin;
}

std::vector<pid_t> TrainersUnder(const std::string& directory) {
  return ProcessesUnder(directory, "qtrain");
}

Cluster::Cluster(std::string trainer) : trainer_(std::move(trainer)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "qsweep-XXXXXX").string();
  QSWEEP_CHECK(::mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
  address_ = absl::StrCat("unix:", directory_, "/socket");
  stub_ = v1::SweepService::NewStub(MakeChannel(address_));
}

Cluster::~Cluster() {
  while (!workers_.empty()) KillWorker(workers_.begin()->first);
  KillScheduler();
  KillTrainers();
  if (::testing::Test::HasFailure()) {
    GTEST_LOG_(INFO) << "kept for a look: " << directory_;
  } else {
    (void)RemoveTree(directory_);
  }
}

pid_t Cluster::Start(const std::string& name, const std::vector<std::string>& argv) {
  SubprocessOptions options;
  options.argv = argv;
  options.working_directory = directory_;
  options.stdout_path = options.stderr_path = JoinPath(directory_, name + ".log");
  const auto pid = StartSubprocess(options);
  EXPECT_TRUE(pid.ok()) << pid.status();
  return pid.value_or(0);
}

void Cluster::ServeTls(const std::string& host) {
  tls_host_ = host;
  const auto output = RunForOutput(
      {kBin + "/qscheduler", "init", "--data-dir", SchedulerDirectory(), "--host", host},
      kPatience);
  ASSERT_TRUE(output.ok()) << output.status();
}

void Cluster::StartScheduler(absl::Duration lease) {
  ASSERT_EQ(scheduler_, 0);
  std::vector<std::string> argv = {kBin + "/qscheduler",
                                   "--data-dir",
                                   SchedulerDirectory(),
                                   "--listen",
                                   address_,
                                   "--lease-ms",
                                   absl::StrCat(absl::ToInt64Milliseconds(lease)),
                                   "--heartbeat-ms",
                                   absl::StrCat(absl::ToInt64Milliseconds(lease / 10))};
  if (!tls_host_.empty()) argv.insert(argv.end(), {"--listen", ParseAddress(tls_host_).value()});
  scheduler_ = Start("scheduler", argv);
}

std::string Cluster::WorkerDirectory(const std::string& name) const {
  return absl::StrCat(directory_, "/worker-", name, "/");
}

std::string Cluster::Invite(const std::string& name) {
  const auto stub = v1::AdminService::NewStub(MakeChannel(address_));
  v1::CreateTokenRequest request;
  request.set_name(name);
  request.set_role(v1::ROLE_WORKER);
  return FormatInvitation(Ask<v1::CreateTokenReply>([&](auto* context, auto* reply) {
                            return stub->CreateToken(context, request, reply);
                          }).credentials());
}

void Cluster::StartWorker(const std::string& name, const WorkerOptions& options) {
  ASSERT_FALSE(workers_.contains(name));
  std::vector<std::string> argv = options.before;
  argv.insert(argv.end(), {kBin + "/qworker", "--state-dir", WorkerDirectory(name), "--slots",
                           absl::StrCat(options.slots), "--threads", "1", "--name", name});
  if (tls_host_.empty()) {
    argv.insert(argv.end(), {"--scheduler", address_});
  } else if (!PathExists(WorkerDirectory(name))) {
    argv.insert(argv.end(), {"--join", Invite(name)});
  }
  if (!trainer_.empty()) argv.insert(argv.end(), {"--qtrain", trainer_});
  workers_[name] = Start("worker-" + name, argv);
}

void Cluster::KillScheduler() { KillAndReap(std::exchange(scheduler_, 0)); }

void Cluster::KillWorker(const std::string& name) {
  KillAndReap(workers_.at(name));
  workers_.erase(name);
}

void Cluster::StartWhatDied() {
  const auto killed = [](pid_t pid) {
    if (pid == 0) return false;
    const auto exit = PollSubprocess(pid);
    if (!exit.ok() || !exit->has_value()) return false;
    EXPECT_EQ((*exit)->signal, SIGKILL) << "a daemon died, exit code " << (*exit)->exit_code;
    return true;
  };
  if (killed(scheduler_)) {
    scheduler_ = 0;
    StartScheduler();
  }
  const std::map<std::string, pid_t> workers = workers_;
  for (const auto& [name, pid] : workers) {
    if (!killed(pid)) continue;
    workers_.erase(name);
    StartWorker(name);
  }
}

void Cluster::Signal(const std::string& name, int signal) {
  for (const pid_t pid : ProcessesUnder(WorkerDirectory(name), "")) ::kill(pid, signal);
}

void Cluster::StopWorker(const std::string& name) {
  ::kill(workers_.at(name), SIGTERM);
  const auto exit = WaitSubprocess(workers_.at(name), kPatience);
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_EQ(exit->signal, 0);
  EXPECT_EQ(exit->exit_code, 0);
  workers_.erase(name);
}

int Cluster::KillTrainers() {
  const std::vector<pid_t> pids = TrainersUnder(directory_ + "/worker-");
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  return static_cast<int>(pids.size());
}

int Cluster::KillTrainersOf(const std::string& name) {
  const std::vector<pid_t> pids = TrainersUnder(WorkerDirectory(name));
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  return static_cast<int>(pids.size());
}

v1::SubmitSweepReply Cluster::Submit(const std::string& yaml, const std::string& request_id) {
  const auto plan = ParseSweep(yaml, "test.yaml");
  if (!plan.ok()) {
    ADD_FAILURE() << plan.status();
    return {};
  }
  v1::SubmitSweepRequest request;
  request.set_request_id(request_id);
  request.set_name(plan->name);
  request.set_priority(plan->priority);
  request.set_source_yaml(yaml);
  for (const auto& cell : plan->cells) {
    v1::Cell* added = request.add_cells();
    added->set_name(cell.name);
    *added->mutable_spec() = cell.spec;
  }
  return Ask<v1::SubmitSweepReply>(
      [&](auto* context, auto* reply) { return stub_->SubmitSweep(context, request, reply); });
}

v1::Sweep Cluster::GetSweep(const std::string& sweep) {
  v1::GetSweepRequest request;
  request.set_sweep(sweep);
  return Ask<v1::Sweep>(
      [&](auto* context, auto* reply) { return stub_->GetSweep(context, request, reply); });
}

std::vector<v1::Run> Cluster::Runs(const std::string& sweep) {
  v1::ListRunsRequest request;
  request.set_sweep(sweep);
  request.set_page_size(3);  // so that paging is used too
  std::vector<v1::Run> runs;
  do {
    const auto reply = Ask<v1::ListRunsReply>(
        [&](auto* context, auto* reply) { return stub_->ListRuns(context, request, reply); });
    runs.insert(runs.end(), reply.runs().begin(), reply.runs().end());
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return runs;
}

v1::RunDetail Cluster::Detail(int64_t run_id) {
  v1::GetRunRequest request;
  request.set_run(absl::StrCat(run_id));
  return Ask<v1::RunDetail>(
      [&](auto* context, auto* reply) { return stub_->GetRun(context, request, reply); });
}

std::vector<v1::MetricPoint> Cluster::Metrics(int64_t run_id) {
  v1::GetMetricsRequest request;
  request.set_run(absl::StrCat(run_id));
  std::vector<v1::MetricPoint> points;
  do {
    const auto reply = Ask<v1::GetMetricsReply>(
        [&](auto* context, auto* reply) { return stub_->GetMetrics(context, request, reply); });
    points.insert(points.end(), reply.points().begin(), reply.points().end());
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return points;
}

v1::WorkerStatus Cluster::Worker(const std::string& name) {
  const auto reply = Ask<v1::ListWorkersReply>(
      [&](auto* context, auto* reply) { return stub_->ListWorkers(context, {}, reply); });
  for (const v1::WorkerStatus& worker : reply.workers()) {
    if (worker.info().name() == name) return worker;
  }
  return {};
}

v1::Sweep Cluster::WaitForEnd(const std::string& sweep, absl::Duration timeout) {
  const absl::Duration deadline = SystemClock().Monotonic() + timeout;
  while (true) {
    const v1::Sweep now = GetSweep(sweep);
    if (now.pending() + now.running() == 0 && now.id() != 0) return now;
    if (SystemClock().Monotonic() > deadline) {
      ADD_FAILURE() << sweep << " has not ended: " << now.ShortDebugString();
      return now;
    }
    absl::SleepFor(absl::Milliseconds(100));
  }
}

}  // namespace qsweep::testing
