// What one scheduler bears: the real qscheduler with simulated workers (fleet.h) on one machine.
//
//   idle     its CPU time with every worker connected and nothing to do
//   runs     runs assigned, ended and recorded a second
//   metrics  metric points stored a second, with those runs in the database; how long `qctl status`
//            and a page of runs take meanwhile; its memory
//   start    until it answers again after SIGKILL; then all that was acknowledged is looked for
//
// Prints a table, and JSON with --json.
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "bench/fleet.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/data_dir.h"
#include "common/file.h"
#include "common/proc.h"
#include "common/rpc.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "qsweep/v1/sweep.grpc.pb.h"

namespace qsweep::bench {
namespace {

struct Options {
  std::string qscheduler = ProgramDirectory() + "/../bin/qscheduler";
  std::string directory;
  std::string json;
  int workers = 1000;
  int runs = 100'000;
  int idle_seconds = 20;
  int metric_seconds = 20;
};

// Figures in the order they were measured.
class Report {
 public:
  void Add(const std::string& name, double value, const std::string& unit) {
    rows_.push_back({name, value, unit});
    std::printf("%-44s %12s %s\n", name.c_str(), Number(value).c_str(), unit.c_str());
    std::fflush(stdout);
  }
  absl::Status Write(const std::string& path) const {
    std::vector<std::string> members;
    for (const Row& row : rows_) {
      members.push_back(absl::StrCat("  {\"name\": \"", row.name, "\", \"value\": ", row.value,
                                     ", \"unit\": \"", row.unit, "\"}"));
    }
    return WriteFileAtomic(path, absl::StrCat("[\n", absl::StrJoin(members, ",\n"), "\n]\n"));
  }

 private:
  struct Row {
    std::string name;
    double value;
    std::string unit;
  };
  static std::string Number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, value >= 1000 ? "%.0f" : "%.3g", value);
    return text;
  }
  std::vector<Row> rows_;
};

[[noreturn]] void Fail(absl::string_view why) {
  std::fprintf(stderr, "scale_bench: %s\n", std::string(why).c_str());
  std::exit(1);
}

// The scheduler that runs, to be taken along however this program ends.
std::atomic<pid_t> child = 0;
void KillChild() {
  if (child != 0) ::kill(child, SIGKILL);
}
void OnSignal(int signal) {
  KillChild();
  std::_Exit(128 + signal);
}

double Now() { return absl::ToDoubleSeconds(SystemClock().Monotonic()); }

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void WaitUntil(const char* what, double patience, const std::function<bool()>& holds) {
  const double deadline = Now() + patience;
  while (!holds()) {
    if (Now() > deadline) Fail(absl::StrCat("gave up waiting until ", what));
    Sleep(0.005);
  }
}

// The program under test; killed with this object.
class SchedulerProcess {
 public:
  explicit SchedulerProcess(const Options& options)
      : directory_(options.directory), address_file_(JoinPath(directory_ + "/data", kAddressFile)) {
    (void)::unlink(address_file_.c_str());
    SubprocessOptions process;
    process.argv = {options.qscheduler, "--data-dir", directory_ + "/data",         "--listen",
                    "127.0.0.1:0",      "--log-file", directory_ + "/scheduler.log"};
    process.stderr_path = directory_ + "/scheduler.err";
    const auto pid = StartSubprocess(process);
    if (!pid.ok()) Fail(pid.status().message());
    child = pid_ = *pid;
    WaitUntil("the scheduler listens", 300, [&] { return PathExists(address_file_); });
    address_ = std::string(absl::StripAsciiWhitespace(*ReadFile(address_file_, 1000)));
    stub_ = v1::SweepService::NewStub(MakeChannel(address_));
  }
  ~SchedulerProcess() { Kill(); }

  void Kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    (void)WaitSubprocess(pid_, absl::Minutes(1));
    child = pid_ = 0;
  }

  const std::string& address() const { return address_; }
  double CpuSeconds() const {
    const std::string stat = *ReadFile(absl::StrCat("/proc/", pid_, "/stat"), 1 << 12);
    const std::vector<std::string> fields =  // from the third on: the second may hold anything
        absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
    int64_t user = 0, system = 0;
    if (!absl::SimpleAtoi(fields[11], &user) || !absl::SimpleAtoi(fields[12], &system)) {
      Fail("cannot read /proc/PID/stat");
    }
    return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  // "VmRSS" or "VmHWM", in MB.
  double Memory(const std::string& line) const {
    const int64_t bytes = BytesAfter(absl::StrCat("/proc/", pid_, "/status"), line + ":");
    if (bytes == 0) Fail("cannot read /proc/PID/status");
    return 1e-6 * static_cast<double>(bytes);
  }

  template <typename Request, typename Reply>
  Reply Call(grpc::Status (v1::SweepService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Reply*),
             const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(5));
    context.set_wait_for_ready(true);
    Reply reply;
    const grpc::Status status = ((*stub_).*method)(&context, request, &reply);
    if (!status.ok()) Fail(status.error_message());
    return reply;
  }

 private:
  const std::string directory_;
  const std::string address_file_;
  pid_t pid_ = 0;
  std::string address_;
  std::unique_ptr<v1::SweepService::Stub> stub_;
};

// Runs that differ in their seeds, so that none takes another's result.
v1::SubmitSweepRequest SweepOf(const std::string& name, int runs, int first_seed) {
  v1::SubmitSweepRequest request;
  request.set_request_id(absl::StrCat("request-", name));
  request.set_name(name);
  for (int i = 0; i < runs; ++i) {
    v1::Cell* cell = request.add_cells();
    cell->set_name(absl::StrCat(name, "-", i));
    v1::ExperimentSpec* spec = cell->mutable_spec();
    spec->mutable_model()->set_name("vit_mini_patch4_28");
    spec->mutable_model()->set_pretrained(false);
    spec->mutable_dataset()->set_name("fashion_mnist");
    spec->mutable_training()->set_method("full");
    spec->set_seed(first_seed + i);
  }
  return request;
}

double OwnCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double Percentile(std::vector<double> values, double p) {
  if (values.empty()) Fail("nothing was measured");
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(p * static_cast<double>(values.size())))];
}

void Idle(const Options& options, SchedulerProcess& scheduler, Report& report) {
  Sleep(1);
  const double begin = Now(), cpu = scheduler.CpuSeconds();
  Sleep(options.idle_seconds);
  report.Add("idle: scheduler's CPU", 100 * (scheduler.CpuSeconds() - cpu) / (Now() - begin),
             "% of a core");
  report.Add("idle: scheduler's memory", scheduler.Memory("VmRSS"), "MB");
}

void Runs(const Options& options, SchedulerProcess& scheduler, Fleet& fleet, Report& report) {
  const v1::SubmitSweepRequest request = SweepOf("runs", options.runs, 0);
  const double submitted = Now();
  std::thread submit([&] { scheduler.Call(&v1::SweepService::Stub::SubmitSweep, request); });
  WaitUntil("the first run has ended", 300, [&] { return fleet.finished() > 0; });
  const double begin = Now(), cpu = scheduler.CpuSeconds(), own_cpu = OwnCpuSeconds();
  const int64_t before = fleet.finished();
  report.Add("runs: until the first of them has ended", begin - submitted, "s");
  WaitUntil("all runs have ended", 600, [&] { return fleet.finished() >= options.runs; });
  const double seconds = Now() - begin;
  const auto ended = static_cast<double>(fleet.finished() - before);
  report.Add("runs: assigned, ended and recorded", ended / seconds, "runs/s");
  report.Add("runs: scheduler's CPU", 1e6 * (scheduler.CpuSeconds() - cpu) / ended, "us/run");
  report.Add("runs: the workers' CPU", 1e6 * (OwnCpuSeconds() - own_cpu) / ended, "us/run");
  report.Add("runs: scheduler's memory", scheduler.Memory("VmRSS"), "MB");
  submit.join();
}

// Asks what a person asks, again and again.
class Watcher {
 public:
  explicit Watcher(SchedulerProcess& scheduler)
      : thread_([this, &scheduler] {
          while (!ending_) {
            Time(status_, [&] {
              scheduler.Call(&v1::SweepService::Stub::ListSweeps, v1::ListSweepsRequest());
            });
            Time(page_, [&] {
              v1::ListRunsRequest request;
              request.set_sweep("runs");
              scheduler.Call(&v1::SweepService::Stub::ListRuns, request);
            });
            Sleep(0.01);
          }
        }) {}
  void End() {
    ending_ = true;
    thread_.join();
  }
  const std::vector<double>& status_ms() const { return status_; }
  const std::vector<double>& page_ms() const { return page_; }

 private:
  static void Time(std::vector<double>& into, const std::function<void()>& call) {
    const double begin = Now();
    call();
    into.push_back(1e3 * (Now() - begin));
  }
  std::atomic<bool> ending_ = false;
  std::vector<double> status_, page_;
  std::thread thread_;  // last: it uses the rest
};

void Metrics(const Options& options, SchedulerProcess& scheduler, Fleet& fleet, Report& report) {
  scheduler.Call(&v1::SweepService::Stub::SubmitSweep,
                 SweepOf("stream", options.workers, options.runs));
  const int64_t enough = int64_t{options.workers} * Fleet::kStepsPerBatch * Fleet::kPointsPerStep;
  const int64_t earlier = fleet.points();
  WaitUntil("every worker streams", 60, [&] { return fleet.points() >= earlier + enough; });
  Watcher watcher(scheduler);
  const double begin = Now(), cpu = scheduler.CpuSeconds();
  const int64_t before = fleet.points();
  Sleep(options.metric_seconds);
  const double seconds = Now() - begin;
  const auto stored = static_cast<double>(fleet.points() - before);
  const double used = scheduler.CpuSeconds() - cpu;
  watcher.End();
  report.Add("metrics: points stored", stored / seconds, "points/s");
  report.Add("metrics: scheduler's CPU", 1e6 * used / stored, "us/point");
  report.Add("metrics: status, median", Percentile(watcher.status_ms(), 0.5), "ms");
  report.Add("metrics: status, p99", Percentile(watcher.status_ms(), 0.99), "ms");
  report.Add("metrics: status, times asked", static_cast<double>(watcher.status_ms().size()), "");
  report.Add("metrics: a page of 100 runs, p99", Percentile(watcher.page_ms(), 0.99), "ms");
  report.Add("metrics: scheduler's memory, highest", scheduler.Memory("VmHWM"), "MB");
}

// Of the streams, the first few: everything acknowledged must be there.
double MissingPoints(SchedulerProcess& scheduler, const std::map<int64_t, int64_t>& steps) {
  constexpr int kLookedAt = 20;
  int64_t missing = 0;
  int looked_at = 0;
  for (const auto& [run, step] : steps) {
    if (++looked_at > kLookedAt) break;
    std::set<std::pair<std::string, int64_t>> points;
    v1::GetMetricsRequest request;
    request.set_run(absl::StrCat(run));
    do {
      const auto reply = scheduler.Call(&v1::SweepService::Stub::GetMetrics, request);
      for (const v1::MetricPoint& point : reply.points()) {
        if (point.step() <= step) points.emplace(point.name(), point.step());
      }
      request.set_page_token(reply.next_page_token());
    } while (!request.page_token().empty());
    missing += step * Fleet::kPointsPerStep - static_cast<int64_t>(points.size());
  }
  return static_cast<double>(missing);
}

void Start(const Options& options, SchedulerProcess& killed, Fleet& fleet, Report& report) {
  fleet.End();
  killed.Kill();
  const std::map<int64_t, int64_t> steps = fleet.AcknowledgedSteps();
  report.Add("start: database",
             1e-6 * static_cast<double>(
                        FileSize(JoinPath(options.directory + "/data", kDatabaseFile)).value_or(0)),
             "MB");
  const double begin = Now();
  SchedulerProcess scheduler(options);
  const auto sweeps = scheduler.Call(&v1::SweepService::Stub::ListSweeps, v1::ListSweepsRequest());
  report.Add("start: until it answers, after SIGKILL", Now() - begin, "s");
  report.Add("start: scheduler's memory", scheduler.Memory("VmRSS"), "MB");
  v1::GetSweepRequest request;
  request.set_sweep("runs");
  const int recorded = scheduler.Call(&v1::SweepService::Stub::GetSweep, request).succeeded();
  report.Add("start: acknowledged runs that are missing", options.runs - recorded, "");
  report.Add("start: acknowledged points that are missing", MissingPoints(scheduler, steps), "");
}

void Measure(const Options& options) {
  Report report;
  SchedulerProcess scheduler(options);
  {
    Fleet fleet(scheduler.address(), options.workers);
    WaitUntil("all workers are connected", 60, [&] { return fleet.welcomed() == options.workers; });
    report.Add("workers connected", options.workers, "");
    Idle(options, scheduler, report);
    Runs(options, scheduler, fleet, report);
    Metrics(options, scheduler, fleet, report);
    if (fleet.surprises() > 0) Fail(absl::StrCat(fleet.surprises(), " surprises"));
    Start(options, scheduler, fleet, report);
  }
  if (options.json.empty()) return;
  if (const absl::Status status = report.Write(options.json); !status.ok()) Fail(status.message());
}

}  // namespace
}  // namespace qsweep::bench

int main(int argc, char** argv) {
  qsweep::bench::Options options;
  qsweep::Program program("scale_bench", "Measures what one scheduler bears.");
  program.AddOption("--qscheduler", &options.qscheduler, "");
  program.AddOption("--directory", &options.directory,
                    "for the database, on the disk to be measured; kept (default: a new one in "
                    "/tmp, removed)");
  program.AddOption("--json", &options.json, "write all figures to this file");
  program.AddOption("--workers", &options.workers, "").Between(1, 10'000);
  program.AddOption("--runs", &options.runs, "").Between(1, 100'000);
  program.AddOption("--idle-seconds", &options.idle_seconds, "").Between(1, 3600);
  program.AddOption("--metric-seconds", &options.metric_seconds, "").Between(1, 3600);
  if (const std::optional<int> code = program.Parse(argc, argv)) return *code;
  const bool temporary = options.directory.empty();
  if (temporary) {
    std::string pattern = "/tmp/scale-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) qsweep::bench::Fail("cannot make a directory");
    options.directory = pattern;
  }
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as in qscheduler
  std::atexit(qsweep::bench::KillChild);
  ::signal(SIGINT, qsweep::bench::OnSignal);
  ::signal(SIGTERM, qsweep::bench::OnSignal);
  qsweep::bench::Measure(options);
  if (temporary) (void)qsweep::RemoveTree(options.directory);
  return 0;
}
