// The qworker program against a scripted scheduler on a real socket, with a stand-in for the
// trainer.
#ifndef QSWEEP_WORKER_AGENT_TESTING_AGENT_TEST_H_
#define QSWEEP_WORKER_AGENT_TESTING_AGENT_TEST_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/attempt_id.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/subprocess.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/agent/state_directory.h"
#include "worker/agent/testing/scripted_scheduler.h"

namespace qsweep {

using State = ScriptedScheduler::State;

inline const AttemptId kId{RunId(7), AttemptNumber(2)};

// What the stand-in is to play, see testing/fake_qtrain.cc.
inline v1::Assign MakeAssign(const AttemptId& id, const std::string& role, int steps, int step_ms,
                             int checkpoint_interval = 0) {
  v1::ExperimentSpec spec;
  spec.mutable_model()->set_name(role);
  spec.mutable_training()->set_num_epochs(steps);
  spec.mutable_training()->set_log_interval(step_ms);
  spec.mutable_training()->set_checkpoint_interval(checkpoint_interval);
  v1::Assign assign;
  *assign.mutable_attempt() = ToProto(id);
  assign.set_spec_json(ToJson(spec));
  return assign;
}

// Dead, whether or not its parent has noticed.
inline bool IsGone(pid_t pid) {
  const auto stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"), 4096);
  return !stat.ok() || absl::StrContains(*stat, ") Z ");
}

inline void KillAndWait(pid_t pid) {
  ::kill(pid, SIGKILL);
  for (int i = 0; i < 10'000 && !IsGone(pid); ++i) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_TRUE(IsGone(pid)) << "process " << pid << " does not end";
}

class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    directory_ = (std::filesystem::temp_directory_path() / "agent-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    address_ = absl::StrCat("unix:", directory_, "/socket");
    scheduler_.emplace(address_);
    scheduler_->Start();
  }

  ~AgentTest() override {
    if (worker_ != 0) KillWorker();
    scheduler_->Stop();
    // Trainers outlive their agent by design; none may outlive the test, nor write a last file
    // while its directory is removed.
    scheduler_->With([](State& state) {
      for (const auto& [id, record] : state.attempts) {
        for (const v1::Event& event : record.events) {
          if (event.has_started() && !record.ended) KillAndWait(event.started().pid());
        }
      }
    });
    if (HasFailure()) {
      ADD_FAILURE() << Words();
    }
    EXPECT_EQ(RemoveTree(directory_), absl::OkStatus());
  }

  std::vector<std::string> CommandLine(const std::string& qtrain) const {
    return {absl::StrCat(QSWEEP_BIN_DIR, "/qworker"),
            "--scheduler",
            address_,
            "--state-dir",
            StatePath(),
            "--qtrain",
            qtrain,
            "--slots",
            "2",
            "--memory-limit",
            "512M",
            "--name",
            "tester"};
  }

  void StartWorker(const std::string& qtrain = QSWEEP_FAKE_QTRAIN,
                   const std::vector<std::string>& more = {}) {
    SubprocessOptions options;
    options.argv = CommandLine(qtrain);
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    options.stdout_path = options.stderr_path = JoinPath(directory_, "worker.txt");
    const auto pid = StartSubprocess(options);
    ASSERT_TRUE(pid.ok()) << pid.status();
    worker_ = *pid;
  }

  void StartConnectedWorker(const std::string& qtrain = QSWEEP_FAKE_QTRAIN,
                            const std::vector<std::string>& more = {}) {
    StartWorker(qtrain, more);
    ASSERT_TRUE(scheduler_->WaitFor([](const State& state) { return state.connected; }));
  }

  ExitStatus EndWorker(int signal) {
    ::kill(worker_, signal);
    const auto exit = WaitSubprocess(worker_, absl::Seconds(60));
    worker_ = 0;
    EXPECT_TRUE(exit.ok()) << exit.status();
    return exit.value_or(ExitStatus{});
  }

  void KillWorker() {
    EndWorker(SIGKILL);
    EXPECT_TRUE(scheduler_->WaitFor([](const State& state) { return !state.connected; }));
  }

  void Assign(const v1::Assign& assign) {
    v1::ToWorker message;
    *message.mutable_assign() = assign;
    scheduler_->Send(message);
  }

  void Stop(bool checkpoint) {
    v1::ToWorker message;
    *message.mutable_stop()->mutable_attempt() = ToProto(kId);
    message.mutable_stop()->set_reason("cancelled by its owner");
    message.mutable_stop()->set_checkpoint(checkpoint);
    scheduler_->Send(message);
  }

  // The trainer's pid, once the first steps of it are stored.
  pid_t WaitForSteps(size_t events = 3) {
    EXPECT_TRUE(scheduler_->WaitFor([events](const State& state) {
      const auto it = state.attempts.find(kId);
      return it != state.attempts.end() && it->second.events.size() >= events;
    }));
    return Record().events.empty() ? 0 : Record().events[0].started().pid();
  }

  v1::AttemptEnded WaitForEnd() {
    EXPECT_TRUE(scheduler_->WaitFor([](const State& state) {
      const auto it = state.attempts.find(kId);
      return it != state.attempts.end() && it->second.ended.has_value();
    }));
    return Record().ended.value_or(v1::AttemptEnded());
  }

  static bool Await(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000; ++i, absl::SleepFor(absl::Milliseconds(10))) {
      if (condition()) return true;
    }
    return false;
  }

  bool WaitForNoDirectory() {
    return Await([this] {
      return !PathExists(AttemptPath()) &&
             ListDirectory(JoinPath(StatePath(), "attempts"))->empty();
    });
  }

  // Every step from first to last once and in order, from one trainer.
  void ExpectSteps(int first, int last) {
    std::vector<int64_t> steps, expected;
    int started = 0;
    for (const v1::Event& event : Record().events) {
      if (event.has_started()) ++started;
      if (event.has_metrics()) steps.push_back(event.metrics().step());
    }
    for (int step = first; step <= last; ++step) expected.push_back(step);
    EXPECT_EQ(started, 1);
    EXPECT_EQ(steps, expected);
  }

  ScriptedScheduler::AttemptRecord Record() {
    return scheduler_->With([](State& state) { return state.attempts[kId]; });
  }

  // By the trainer's clock.
  int64_t FirstEventTime(const AttemptId& id) {
    return scheduler_->With(
        [&id](State& state) { return state.attempts.at(id).events.front().unix_us(); });
  }
  int64_t LastEventTime(const AttemptId& id) {
    return scheduler_->With(
        [&id](State& state) { return state.attempts.at(id).events.back().unix_us(); });
  }

  v1::ArtifactRef Store(const std::string& bytes) {
    v1::ArtifactRef artifact;
    artifact.set_sha256(Sha256Hex(bytes));
    artifact.set_bytes(static_cast<int64_t>(bytes.size()));
    scheduler_->With([&](State& state) { state.artifacts[artifact.sha256()] = bytes; });
    return artifact;
  }

  bool HasArtifact(const std::string& bytes) {
    return scheduler_->With(
        [&bytes](State& state) { return state.artifacts.count(Sha256Hex(bytes)) > 0; });
  }

  // What the worker has logged.
  std::string Words() const {
    return ReadFile(JoinPath(directory_, "worker.txt"), 1 << 20).value_or("");
  }

  std::string StatePath() const { return JoinPath(directory_, state_name_); }
  std::string AttemptPath() const { return JoinPath(StatePath(), "attempts/run-7-attempt-2"); }

  std::string directory_;
  std::string state_name_ = "state";
  std::string address_;
  std::optional<ScriptedScheduler> scheduler_;
  pid_t worker_ = 0;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_TESTING_AGENT_TEST_H_
