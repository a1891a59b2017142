// The qworker program against a scripted scheduler on a real socket, with a stand-in for the
// trainer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/subprocess.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/agent/state_directory.h"
#include "worker/agent/testing/scripted_scheduler.h"

namespace qsweep {
namespace {

using State = ScriptedScheduler::State;
using testing::ElementsAre;
using testing::HasSubstr;

const AttemptId kId{RunId(7), AttemptNumber(2)};

// What the stand-in is to play, see testing/fake_qtrain.cc.
v1::Assign MakeAssign(const AttemptId& id, const std::string& role, int steps, int step_ms,
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
bool IsGone(pid_t pid) {
  const auto stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"), 4096);
  return !stat.ok() || absl::StrContains(*stat, ") Z ");
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
    // Trainers outlive their agent by design; none may outlive the test.
    scheduler_->With([](State& state) {
      for (const auto& [id, record] : state.attempts) {
        for (const v1::Event& event : record.events) {
          if (event.has_started() && !record.ended) ::kill(event.started().pid(), SIGKILL);
        }
      }
    });
    if (HasFailure()) {
      ADD_FAILURE() << ReadFile(JoinPath(directory_, "worker.txt"), 1 << 20).value_or("");
    }
    EXPECT_TRUE(RemoveTree(directory_).ok());
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

  void StartWorker() {
    SubprocessOptions options;
    options.argv = CommandLine(QSWEEP_FAKE_QTRAIN);
    options.stdout_path = options.stderr_path = JoinPath(directory_, "worker.txt");
    const auto pid = StartSubprocess(options);
    ASSERT_TRUE(pid.ok()) << pid.status();
    worker_ = *pid;
  }

  void StartConnectedWorker() {
    StartWorker();
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

  bool WaitForNoDirectory() {
    for (int i = 0; i < 1000; ++i) {
      if (!PathExists(AttemptPath()) && ListDirectory(JoinPath(StatePath(), "attempts"))->empty()) {
        return true;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    return false;
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

  std::string StatePath() const { return JoinPath(directory_, "state"); }
  std::string AttemptPath() const { return JoinPath(StatePath(), "attempts/run-7-attempt-2"); }

  std::string directory_;
  std::string address_;
  std::optional<ScriptedScheduler> scheduler_;
  pid_t worker_ = 0;
};

TEST_F(AgentTest, RunsAnAssignmentToItsEnd) {
  StartConnectedWorker();
  const v1::Hello hello = scheduler_->With([](State& state) { return state.hellos[0]; });
  EXPECT_EQ(hello.info().name(), "tester");
  EXPECT_EQ(hello.info().id().size(), 32u);
  EXPECT_EQ(hello.info().slots(), 2);
  EXPECT_EQ(hello.info().cores(), 4);
  EXPECT_EQ(hello.info().memory_bytes(), 512 << 20);
  EXPECT_THAT(hello.info().datasets(), ElementsAre("cifar10"));

  const v1::Assign assign = MakeAssign(kId, "finish", 20, 5, /*checkpoint_interval=*/7);
  Assign(assign);
  Assign(assign);  // said twice, it is still one
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_TRUE(ended.succeeded()) << ended.error();
  ExpectSteps(1, 20);
  EXPECT_TRUE(Record().events.back().has_finished());
  EXPECT_EQ(Record().missing_artifacts, 0);
  EXPECT_TRUE(HasArtifact("14"));
  EXPECT_TRUE(HasArtifact("adapter of nothing"));
  EXPECT_TRUE(WaitForNoDirectory());
}

TEST_F(AgentTest, BeginsWithTheCheckpointAndWeightsItIsGiven) {
  StartConnectedWorker();
  v1::Assign assign = MakeAssign(kId, "finish", 20, 1);
  *assign.mutable_resume_from() = Store("12");
  assign.set_resume_step(12);
  *assign.mutable_weights() = Store("a trained base");
  Assign(assign);
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(13, 20);
  EXPECT_TRUE(HasArtifact("adapter of a trained base"));
}

TEST_F(AgentTest, ArtifactTheSchedulerDoesNotHaveEndsTheAttempt) {
  StartConnectedWorker();
  v1::Assign assign = MakeAssign(kId, "finish", 20, 1);
  assign.mutable_weights()->set_sha256(Sha256Hex("never stored"));
  assign.mutable_weights()->set_bytes(12);
  Assign(assign);
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_FALSE(ended.succeeded());
  EXPECT_EQ(ended.blame(), v1::BLAME_CONTROL_PLANE);
  EXPECT_THAT(ended.error(), HasSubstr("no such artifact"));
  EXPECT_TRUE(WaitForNoDirectory());
}

TEST_F(AgentTest, TrainsOnWhileTheSchedulerIsAway) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100, 10, /*checkpoint_interval=*/30));
  WaitForSteps();
  scheduler_->Stop();
  absl::SleepFor(absl::Milliseconds(700));
  scheduler_->Start();
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 100);
  EXPECT_EQ(Record().missing_artifacts, 0);
}

TEST_F(AgentTest, EndIsToldAgainUntilAcknowledged) {
  StartConnectedWorker();
  scheduler_->With([](State& state) { state.acknowledge_ends = false; });
  Assign(MakeAssign(kId, "finish", 5, 1));
  EXPECT_TRUE(WaitForEnd().succeeded());
  scheduler_->Stop();
  EXPECT_TRUE(PathExists(AttemptPath()));
  scheduler_->With([](State& state) { state.acknowledge_ends = true; });
  scheduler_->Start();
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_EQ(Record().times_ended, 2);
}

TEST_F(AgentTest, LowerAcknowledgementRewinds) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 150, 10));
  WaitForSteps(60);
  EXPECT_GT(scheduler_->ForgetHalf(kId), 10u);
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 150);
}

TEST_F(AgentTest, HeartbeatsTellOfTheTrainer) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 1000, 10));
  EXPECT_TRUE(scheduler_->WaitFor([](const State& state) {
    const auto it = state.attempts.find(kId);
    return it != state.attempts.end() && it->second.progress.rss_bytes() > 0 &&
           it->second.progress.step() > 20;
  }));
  EXPECT_EQ(Record().progress.total_steps(), 1000);
  EXPECT_EQ(Record().progress.images_per_s(), 100);
}

TEST_F(AgentTest, HeartbeatsGoOnWhileAnUploadHangs) {
  StartConnectedWorker();
  scheduler_->With([](State& state) { state.hold_uploads = true; });
  Assign(MakeAssign(kId, "finish", 30, 5, /*checkpoint_interval=*/3));
  ASSERT_TRUE(scheduler_->WaitFor([](const State& state) { return state.uploads_held == 1; }));
  const int before = scheduler_->With([](State& state) { return state.heartbeats; });
  EXPECT_TRUE(
      scheduler_->WaitFor([before](const State& state) { return state.heartbeats >= before + 5; }));
  // Nothing that names the file has gone ahead of it.
  for (const v1::Event& event : Record().events) EXPECT_FALSE(event.has_checkpoint());
  scheduler_->With([](State& state) { state.hold_uploads = false; });
  scheduler_->Wake();
  EXPECT_TRUE(WaitForEnd().succeeded());
  EXPECT_EQ(Record().missing_artifacts, 0);
}

TEST_F(AgentTest, MoreAssignmentsThanSlotsWaitForOne) {
  StartConnectedWorker();
  std::vector<AttemptId> ids;
  for (int i = 1; i <= 3; ++i) ids.push_back({RunId(i), AttemptNumber(1)});
  for (const AttemptId& id : ids) Assign(MakeAssign(id, "finish", 30, 10));
  ASSERT_TRUE(scheduler_->WaitFor([&ids](const State& state) {
    return std::all_of(ids.begin(), ids.end(), [&state](const AttemptId& id) {
      const auto it = state.attempts.find(id);
      return it != state.attempts.end() && it->second.ended && it->second.ended->succeeded();
    });
  }));
  // The worker has two slots.
  EXPECT_GE(FirstEventTime(ids[2]), std::min(LastEventTime(ids[0]), LastEventTime(ids[1])));
}

TEST_F(AgentTest, StopWithCheckpointUploadsItAndReports) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  WaitForSteps();
  Stop(/*checkpoint=*/true);
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_FALSE(ended.succeeded());
  EXPECT_EQ(ended.blame(), v1::BLAME_CONTROL_PLANE);
  EXPECT_EQ(ended.error(), "stopped: cancelled by its owner");
  EXPECT_EQ(ended.exit_code(), kExitStopped);
  EXPECT_TRUE(Record().events.back().has_checkpoint());
  EXPECT_EQ(Record().missing_artifacts, 0);
  EXPECT_TRUE(WaitForNoDirectory());
}

TEST_F(AgentTest, StopWithoutCheckpointKillsAndDeletes) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  const pid_t trainer = WaitForSteps();
  Stop(/*checkpoint=*/false);
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_TRUE(IsGone(trainer));
  EXPECT_FALSE(Record().ended.has_value());
}

TEST_F(AgentTest, KilledTrainerIsTheMachinesFault) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  ::kill(WaitForSteps(), SIGKILL);
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_FALSE(ended.succeeded());
  EXPECT_EQ(ended.blame(), v1::BLAME_MACHINE);
  EXPECT_EQ(ended.signal(), SIGKILL);
  EXPECT_EQ(ended.error(), "the trainer was killed by SIGKILL");
}

TEST_F(AgentTest, FailureCarriesTheTrainersReason) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "fail", 3, 1));
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_EQ(ended.blame(), v1::BLAME_CONFIG);
  EXPECT_EQ(ended.error(), "the loss is not finite");
  EXPECT_EQ(ended.exit_code(), kExitFailed);
}

TEST_F(AgentTest, SilentDeathCarriesTheTrainersLastWords) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "vanish", 3, 1));
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_EQ(ended.blame(), v1::BLAME_MACHINE);
  EXPECT_EQ(ended.exit_code(), 3);
  EXPECT_EQ(ended.log_tail(), "its last words: ? and nothing more\n");
}

TEST_F(AgentTest, RestartedWorkerTakesOverARunningTrainer) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 150, 10, /*checkpoint_interval=*/40));
  WaitForSteps();
  KillWorker();
  absl::SleepFor(absl::Milliseconds(200));
  StartConnectedWorker();
  const auto hellos = scheduler_->With([](State& state) { return state.hellos; });
  ASSERT_EQ(hellos.size(), 2u);
  EXPECT_EQ(hellos[0].info().id(), hellos[1].info().id());
  ASSERT_EQ(hellos[1].held_size(), 1);
  EXPECT_EQ(FromProto(hellos[1].held(0).attempt()), kId);
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 150);
  EXPECT_EQ(Record().missing_artifacts, 0);
  EXPECT_TRUE(WaitForNoDirectory());
}

TEST_F(AgentTest, TrainerThatEndedWhileItsAgentWasAwayIsReported) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 50, 10, /*checkpoint_interval=*/20));
  WaitForSteps();
  KillWorker();
  absl::SleepFor(absl::Seconds(1));
  StartConnectedWorker();
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 50);
}

TEST_F(AgentTest, TrainerKilledWhileItsAgentWasAwayIsReported) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  const pid_t trainer = WaitForSteps();
  KillWorker();
  ::kill(trainer, SIGKILL);
  StartConnectedWorker();
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_FALSE(ended.succeeded());
  EXPECT_EQ(ended.blame(), v1::BLAME_MACHINE);
}

TEST_F(AgentTest, AttemptTheSchedulerGaveUpIsKilledAndDeleted) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  const pid_t trainer = WaitForSteps();
  KillWorker();
  scheduler_->With([](State& state) { state.keep_held = false; });
  StartConnectedWorker();
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_TRUE(IsGone(trainer));
  EXPECT_FALSE(Record().ended.has_value());
}

TEST_F(AgentTest, ShutdownStopsReportsAndSaysGoodbye) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  WaitForSteps();
  const ExitStatus exit = EndWorker(SIGTERM);
  EXPECT_EQ(exit.exit_code, 0);
  EXPECT_EQ(exit.signal, 0);
  EXPECT_EQ(Record().ended->blame(), v1::BLAME_CONTROL_PLANE);
  EXPECT_TRUE(Record().events.back().has_checkpoint());
  EXPECT_EQ(Record().missing_artifacts, 0);
  EXPECT_TRUE(scheduler_->With([](State& state) { return state.goodbye.has_value(); }));
  EXPECT_TRUE(WaitForNoDirectory());
}

TEST_F(AgentTest, RefusedWorkerKeepsTrying) {
  scheduler_->With([](State& state) { state.refuse_hellos = true; });
  StartWorker();
  ASSERT_TRUE(scheduler_->WaitFor([](const State& state) { return !state.hellos.empty(); }));
  scheduler_->With([](State& state) { state.refuse_hellos = false; });
  EXPECT_TRUE(scheduler_->WaitFor([](const State& state) { return state.connected; }));
}

TEST_F(AgentTest, FailingProbeAndSecondAgentAreFatal) {
  const auto no_trainer = RunForOutput(CommandLine("/bin/false"), absl::Seconds(20));
  EXPECT_THAT(std::string(no_trainer.status().message()), HasSubstr("/bin/false"));
  StartConnectedWorker();
  const auto second = RunForOutput(CommandLine(QSWEEP_FAKE_QTRAIN), absl::Seconds(20));
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another qworker uses this state directory"));
}

}  // namespace
}  // namespace qsweep
