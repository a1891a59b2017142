// The qworker program against a scripted scheduler on a real socket, with a stand-in for the
// trainer.
#ifndef QSWEEP_WORKER_AGENT_TESTING_AGENT_TEST_H_
#define QSWEEP_WORKER_AGENT_TESTING_AGENT_TEST_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/attempt_dir.h"
#include "common/attempt_id.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/subprocess.h"
#include "common/testing/file_tree.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/agent/state_directory.h"
#include "worker/agent/testing/scripted_scheduler.h"

namespace qsweep {

using State = ScriptedScheduler::State;
using AttemptRecord = ScriptedScheduler::AttemptRecord;

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

class AgentTest : public FileTreeTest {
 protected:
  AgentTest() { scheduler_.Start(); }

  ~AgentTest() override {
    if (worker_ != 0) KillWorker();
    scheduler_.Stop();
    // Trainers outlive their agent by design; none may outlive the test, nor write a last file
    // while its directory is removed.
    scheduler_.With([](State& state) {
      for (const auto& [id, record] : state.attempts) {
        for (const v1::Event& event : record.events) {
          if (!event.has_started() || record.ended) continue;
          const pid_t trainer = event.started().pid();
          ::kill(trainer, SIGKILL);
          EXPECT_TRUE(Await([trainer] { return IsGone(trainer); })) << trainer;
        }
      }
    });
    if (HasFailure()) ADD_FAILURE() << Words();
    EXPECT_EQ(RemoveTree(root_), absl::OkStatus());
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
    options.stdout_path = options.stderr_path = JoinPath(root_, "worker.txt");
    const auto pid = StartSubprocess(options);
    ASSERT_TRUE(pid.ok()) << pid.status();
    worker_ = *pid;
  }

  bool WaitForConnection() {
    return scheduler_.WaitFor([](const State& state) { return state.connected; });
  }

  void StartConnectedWorker(const std::string& qtrain = QSWEEP_FAKE_QTRAIN,
                            const std::vector<std::string>& more = {}) {
    StartWorker(qtrain, more);
    ASSERT_TRUE(WaitForConnection());
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
    EXPECT_TRUE(scheduler_.WaitFor([](const State& state) { return !state.connected; }));
  }

  void Assign(const v1::Assign& assign) {
    v1::ToWorker message;
    *message.mutable_assign() = assign;
    scheduler_.Send(message);
  }

  void Stop(bool checkpoint) {
    v1::ToWorker message;
    *message.mutable_stop()->mutable_attempt() = ToProto(kId);
    message.mutable_stop()->set_reason("cancelled by its owner");
    message.mutable_stop()->set_checkpoint(checkpoint);
    scheduler_.Send(message);
  }

  void HoldUploads(bool hold) {
    scheduler_.With([hold](State& state) { state.hold_uploads = hold; });
    scheduler_.Wake();
  }

  bool WaitForRecord(const std::function<bool(const AttemptRecord&)>& condition,
                     const AttemptId& id = kId) {
    return scheduler_.WaitFor([&](const State& state) {
      const auto it = state.attempts.find(id);
      return it != state.attempts.end() && condition(it->second);
    });
  }

  // The trainer's pid, once so many of its events are stored: that it has started, then steps.
  pid_t WaitForEvents(size_t events = 3) {
    EXPECT_TRUE(WaitForRecord([&](const AttemptRecord& r) { return r.events.size() >= events; }));
    return Record().events.empty() ? 0 : Record().events[0].started().pid();
  }

  v1::AttemptEnded WaitForEnd(const AttemptId& id = kId) {
    EXPECT_TRUE(WaitForRecord([](const AttemptRecord& r) { return r.ended.has_value(); }, id));
    return Record(id).ended.value_or(v1::AttemptEnded());
  }

  static bool Await(const std::function<bool()>& condition) {
    for (int i = 0; i < 2000; ++i, absl::SleepFor(absl::Milliseconds(10))) {
      if (condition()) return true;
    }
    return false;
  }

  // Until the worker has logged it.
  bool WaitForWords(const std::string& words) {
    return Await([&] { return absl::StrContains(Words(), words); });
  }

  // The agent's record of how its trainer ended: that is all over but for the reporting.
  bool WaitForEndedFile() {
    return Await([this] { return PathExists(JoinPath(AttemptPath(), kEndedFile)); });
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

  AttemptRecord Record(const AttemptId& id = kId) {
    return scheduler_.With([&id](State& state) { return state.attempts[id]; });
  }

  v1::ArtifactRef Store(const std::string& bytes) {
    v1::ArtifactRef artifact;
    artifact.set_sha256(Sha256Hex(bytes));
    artifact.set_bytes(static_cast<int64_t>(bytes.size()));
    scheduler_.With([&](State& state) { state.artifacts[artifact.sha256()] = bytes; });
    return artifact;
  }

  bool HasArtifact(const std::string& bytes) {
    return scheduler_.With(
        [&bytes](State& state) { return state.artifacts.count(Sha256Hex(bytes)) > 0; });
  }

  // What the worker has logged.
  std::string Words() const {
    return ReadFile(JoinPath(root_, "worker.txt"), 1 << 20).value_or("");
  }

  std::string StatePath() const { return JoinPath(root_, state_name_); }
  std::string AttemptPath() const { return JoinPath(StatePath(), "attempts/run-7-attempt-2"); }

  std::string state_name_ = "state";
  const std::string address_ = absl::StrCat("unix:", root_, "/socket");
  ScriptedScheduler scheduler_{address_};
  pid_t worker_ = 0;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_TESTING_AGENT_TEST_H_
