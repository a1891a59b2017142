// What the worker does when something ends before its time: the scheduler, the agent, the trainer.
#include <signal.h>

#include <filesystem>
#include <string>

#include "common/attempt_dir.h"
#include "common/attempt_id.h"
#include "common/event_log.h"
#include "worker/agent/testing/agent_test.h"

namespace qsweep {
namespace {

using testing::HasSubstr;
using AgentInterruptionTest = AgentTest;

TEST_F(AgentInterruptionTest, TrainsOnWhileTheSchedulerIsAway) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 300, 10, /*checkpoint_interval=*/30));
  WaitForSteps();
  scheduler_->Stop();
  const auto logged = [this] {
    return ReadEventLog(JoinPath(AttemptPath(), kEventsFile), 0, 1 << 24)->events.size();
  };
  const size_t before = logged();
  EXPECT_TRUE(Await([&] { return logged() > before + 50; }));
  scheduler_->Start();
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 300);
  EXPECT_EQ(Record().missing_artifacts, 0);
}

TEST_F(AgentInterruptionTest, EndIsToldAgainUntilAcknowledged) {
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

TEST_F(AgentInterruptionTest, LowerAcknowledgementRewinds) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 150, 10));
  WaitForSteps(60);
  EXPECT_GT(scheduler_->ForgetHalf(kId), 10u);
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 150);
}

class UnreadableLogTest : public AgentTest {
 protected:
  void Hide() {
    std::filesystem::rename(log(), log() + ".away");
    std::filesystem::create_directory(log());  // opened, it cannot be read
  }
  void ExpectTheEndOnlyOnceItIsBack(int steps) {
    absl::SleepFor(absl::Milliseconds(500));
    EXPECT_FALSE(Record().ended.has_value());
    std::filesystem::remove(log());
    std::filesystem::rename(log() + ".away", log());
    EXPECT_TRUE(WaitForEnd().succeeded());
    ExpectSteps(1, steps);
  }
  std::string log() const { return JoinPath(AttemptPath(), kEventsFile); }
};

TEST_F(UnreadableLogTest, IsReadLaterWhenTheTrainerEnds) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100, 10));
  const pid_t trainer = WaitForSteps();
  Hide();
  EXPECT_TRUE(Await([trainer] { return IsGone(trainer); }));
  ExpectTheEndOnlyOnceItIsBack(100);
}

TEST_F(UnreadableLogTest, IsSentLaterWhenTheTrainerHasEnded) {
  StartConnectedWorker();
  scheduler_->With([](State& state) { state.hold_uploads = true; });
  Assign(MakeAssign(kId, "finish", 5, 1));
  EXPECT_TRUE(Await([this] { return PathExists(JoinPath(AttemptPath(), kEndedFile)); }));
  Hide();
  scheduler_->With([](State& state) { state.hold_uploads = false; });
  scheduler_->Wake();
  ExpectTheEndOnlyOnceItIsBack(5);
}

TEST_F(AgentInterruptionTest, StopWithCheckpointUploadsItAndReports) {
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

TEST_F(AgentInterruptionTest, StopWithoutCheckpointKillsAndDeletes) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  const pid_t trainer = WaitForSteps();
  Stop(/*checkpoint=*/false);
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_TRUE(IsGone(trainer));
  EXPECT_FALSE(Record().ended.has_value());
}

TEST_F(AgentInterruptionTest, RestartedWorkerTakesOverARunningTrainer) {
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

TEST_F(AgentInterruptionTest, TrainerThatEndedWhileItsAgentWasAwayIsReported) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 50, 10, /*checkpoint_interval=*/20));
  const pid_t trainer = WaitForSteps();
  KillWorker();
  EXPECT_TRUE(Await([trainer] { return IsGone(trainer); }));
  StartConnectedWorker();
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 50);
}

// Not recommended, but it happens: a script that sets an environment and does not exec.
class WrappedTrainerTest : public AgentTest {
 protected:
  WrappedTrainerTest() {
    const std::string wrapper = JoinPath(directory_, "wrapper");
    EXPECT_TRUE(
        WriteFileAtomic(wrapper, "#!/bin/sh\n" QSWEEP_FAKE_QTRAIN " \"$@\"\nexit $?\n").ok());
    std::filesystem::permissions(wrapper, std::filesystem::perms::owner_all);
    StartConnectedWorker(wrapper);
    Assign(MakeAssign(kId, "finish", 100'000, 10));
  }
};

TEST_F(WrappedTrainerTest, WritesItsCheckpoint) {
  const pid_t trainer = WaitForSteps();
  Stop(/*checkpoint=*/true);
  EXPECT_EQ(WaitForEnd().blame(), v1::BLAME_CONTROL_PLANE);
  EXPECT_TRUE(Record().events.back().has_checkpoint());
  EXPECT_TRUE(IsGone(trainer));
}

TEST_F(WrappedTrainerTest, IsKilledWithItsWrapper) {
  const pid_t trainer = WaitForSteps();
  Stop(/*checkpoint=*/false);
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_TRUE(IsGone(trainer));
}

TEST_F(AgentInterruptionTest, TrainerKilledWhileItsAgentWasAwayIsReported) {
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

TEST_F(AgentInterruptionTest, AttemptTheSchedulerGaveUpIsKilledAndDeleted) {
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

TEST_F(AgentInterruptionTest, ShutdownStopsReportsAndSaysGoodbye) {
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

TEST_F(AgentInterruptionTest, RefusedWorkerSaysWhyAndKeepsTrying) {
  scheduler_->With([](State& state) { state.refuse_hellos = true; });
  StartWorker();
  ASSERT_TRUE(scheduler_->WaitFor([](const State& state) { return !state.hellos.empty(); }));
  EXPECT_TRUE(Await([this] {
    return absl::StrContains(Words(),
                             "the scheduler refuses this worker (FAILED_PRECONDITION: too old)");
  }));
  scheduler_->With([](State& state) { state.refuse_hellos = false; });
  EXPECT_TRUE(scheduler_->WaitFor([](const State& state) { return state.connected; }));
}

TEST_F(AgentInterruptionTest, ASchedulerThatCannotBeReachedIsNamedWithTheCause) {
  scheduler_->Stop();
  StartWorker();
  EXPECT_TRUE(Await([this] {
    return absl::StrContains(Words(), "no session with the scheduler (UNAVAILABLE: ") &&
           absl::StrContains(Words(), address_);
  }));
  scheduler_->Start();
  EXPECT_TRUE(scheduler_->WaitFor([](const State& state) { return state.connected; }));
}

TEST_F(AgentInterruptionTest, ASessionThatEndsWithItsWelcomeIsTriedLessAndLess) {
  scheduler_->With([](State& state) { state.end_sessions = true; });
  StartWorker();
  ASSERT_TRUE(scheduler_->WaitFor([](const State& state) { return !state.hellos.empty(); }));
  absl::SleepFor(absl::Seconds(2));
  // 0.1 s, and more each time.
  EXPECT_LE(scheduler_->With([](State& state) { return state.hellos.size(); }), 10u);
  scheduler_->With([](State& state) { state.end_sessions = false; });
  EXPECT_TRUE(scheduler_->WaitFor([](const State& state) { return state.connected; }));
}

// Paths may hold any bytes, messages may not.
TEST_F(AgentInterruptionTest, ProductLostFromADirectoryThatIsNotUtf8IsReported) {
  state_name_ = "st\xFFte";
  StartConnectedWorker();
  scheduler_->With([](State& state) { state.hold_uploads = true; });
  Assign(MakeAssign(kId, "finish", 5, 1, /*checkpoint_interval=*/2));
  EXPECT_TRUE(Await([this] { return PathExists(JoinPath(AttemptPath(), kEndedFile)); }));
  std::filesystem::remove(JoinPath(AttemptPath(), kAdapterFile));
  scheduler_->With([](State& state) { state.hold_uploads = false; });
  scheduler_->Wake();
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_FALSE(ended.succeeded());
  EXPECT_THAT(ended.error(), HasSubstr("st?te"));
}

TEST_F(AgentInterruptionTest, EveryReasonThatAFileWaitsForIsLogged) {
  StartConnectedWorker();
  const auto end_uploads = [this](const grpc::Status& status) {
    scheduler_->With([&status](State& state) { state.uploads_end = status; });
  };
  const auto logged = [this](const std::string& why) {
    return Await([&] {
      const auto log = ReadFile(JoinPath(directory_, "worker.txt"), 1 << 20);
      return log.ok() && absl::StrContains(*log, why);
    });
  };
  end_uploads({grpc::StatusCode::UNAVAILABLE, "is stopping"});
  Assign(MakeAssign(kId, "finish", 5, 1));
  EXPECT_TRUE(logged("is stopping"));
  end_uploads({grpc::StatusCode::RESOURCE_EXHAUSTED, "has no room"});
  EXPECT_TRUE(logged("has no room"));
  end_uploads(grpc::Status::OK);
  EXPECT_TRUE(WaitForEnd().succeeded());
}

TEST_F(AgentInterruptionTest, FailingProbeAndSecondAgentAreFatal) {
  const auto no_trainer = RunForOutput(CommandLine("/bin/false"), absl::Seconds(20));
  EXPECT_THAT(std::string(no_trainer.status().message()), HasSubstr("/bin/false"));
  StartConnectedWorker();
  const auto second = RunForOutput(CommandLine(QSWEEP_FAKE_QTRAIN), absl::Seconds(20));
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another qworker uses this state directory"));
}

}  // namespace
}  // namespace qsweep
