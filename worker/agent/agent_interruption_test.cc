// What the worker does when something ends before its time: the scheduler, the agent, the trainer.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

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
  WaitForEvents();
  scheduler_.Stop();
  const auto logged = [this] {
    return ReadEventLog(JoinPath(AttemptPath(), kEventsFile), 0, 1 << 24)->events.size();
  };
  const size_t before = logged();
  EXPECT_TRUE(Await([&] { return logged() > before + 50; }));
  scheduler_.Start();
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 300);
  EXPECT_EQ(Record().missing_artifacts, 0);
}

TEST_F(AgentInterruptionTest, EndIsToldAgainUntilAcknowledged) {
  StartConnectedWorker();
  scheduler_.With([](State& state) { state.acknowledge_ends = false; });
  Assign(MakeAssign(kId, "finish", 5, 1));
  EXPECT_TRUE(WaitForEnd().succeeded());
  scheduler_.Stop();
  EXPECT_TRUE(PathExists(AttemptPath()));
  scheduler_.With([](State& state) { state.acknowledge_ends = true; });
  scheduler_.Start();
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_EQ(Record().times_ended, 2);
}

// Such as one that was set up again from a backup.
TEST_F(AgentInterruptionTest, FilesAreSentAgainToASchedulerThatHasLostThem) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 150, 10, /*checkpoint_interval=*/10));
  ASSERT_TRUE(scheduler_.WaitFor([](const State& state) { return state.artifacts.size() >= 3; }));
  scheduler_.Stop();
  scheduler_.With([](State& state) {
    state.artifacts.clear();
    state.attempts.clear();
  });
  scheduler_.Start();
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 150);
  EXPECT_EQ(Record().missing_artifacts, 0);
}

TEST_F(AgentInterruptionTest, LowerAcknowledgementRewinds) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 150, 10));
  WaitForEvents(60);
  EXPECT_GT(scheduler_.ForgetHalf(kId), 10u);
  EXPECT_TRUE(WaitForEnd().succeeded());
  ExpectSteps(1, 150);
}

// A file of the attempt that for a while is there and cannot be read.
class UnreadableFileTest : public AgentTest {
 protected:
  void Hide(const std::string& name) {
    path_ = JoinPath(AttemptPath(), name);
    std::filesystem::create_directory(path_ + ".away");  // opened, it cannot be read
    Exchange();
  }
  void ExpectSuccessOnceItIsBack(int steps) {
    EXPECT_TRUE(WaitForWords("Is a directory"));
    // Before another attempt has begun and ended, the agent has looked at this one several times.
    const AttemptId other{RunId(8), AttemptNumber(1)};
    Assign(MakeAssign(other, "finish", 1, 1));
    EXPECT_TRUE(WaitForEnd(other).succeeded());
    EXPECT_FALSE(Record().ended.has_value());
    Exchange();
    const v1::AttemptEnded ended = WaitForEnd();
    EXPECT_TRUE(ended.succeeded()) << ended.error();
    ExpectSteps(1, steps);
  }

 private:
  // At once: without a file for an instant, the agent would take it for lost.
  void Exchange() {
    const std::string away = path_ + ".away";
    ASSERT_EQ(::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, away.c_str(), RENAME_EXCHANGE), 0);
  }
  std::string path_;
};

TEST_F(UnreadableFileTest, ALogIsReadLaterWhenTheTrainerEnds) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100, 10));
  const pid_t trainer = WaitForEvents();
  Hide(kEventsFile);
  EXPECT_TRUE(Await([trainer] { return IsGone(trainer); }));
  ExpectSuccessOnceItIsBack(100);
}

TEST_F(UnreadableFileTest, ALogIsSentLaterWhenTheTrainerHasEnded) {
  StartConnectedWorker();
  HoldUploads(true);
  Assign(MakeAssign(kId, "finish", 5, 1));
  EXPECT_TRUE(WaitForEndedFile());
  Hide(kEventsFile);
  HoldUploads(false);
  ExpectSuccessOnceItIsBack(5);
}

TEST_F(UnreadableFileTest, AProductIsSentLater) {
  StartConnectedWorker();
  HoldUploads(true);
  // The checkpoint, held up, is what the worker has opened; the product waits for it.
  Assign(MakeAssign(kId, "finish", 5, 1, /*checkpoint_interval=*/5));
  EXPECT_TRUE(WaitForEndedFile());
  Hide(kAdapterFile);
  HoldUploads(false);
  ExpectSuccessOnceItIsBack(5);
}

TEST_F(AgentInterruptionTest, ACheckpointThatIsGoneBeforeItIsSentIsNoLoss) {
  StartConnectedWorker();
  HoldUploads(true);
  Assign(MakeAssign(kId, "finish", 12, 1, /*checkpoint_interval=*/5));
  EXPECT_TRUE(WaitForEndedFile());
  std::filesystem::remove(JoinPath(AttemptPath(), "checkpoint-10.safetensors"));
  HoldUploads(false);
  EXPECT_TRUE(WaitForWords("checkpoint-10.safetensors: gone before it was sent"));
  EXPECT_TRUE(WaitForEnd().succeeded());
}

TEST_F(AgentInterruptionTest, StopWithCheckpointUploadsItAndReports) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  WaitForEvents();
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
  const pid_t trainer = WaitForEvents();
  Stop(/*checkpoint=*/false);
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_TRUE(IsGone(trainer));
  EXPECT_FALSE(Record().ended.has_value());
}

TEST_F(AgentInterruptionTest, AnAssignmentUnderANumberThatIsBeingDiscardedIsAnswered) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  WaitForEvents();
  ::kill(worker_, SIGSTOP);
  Stop(/*checkpoint=*/false);
  Assign(MakeAssign(kId, "finish", 3, 1));
  ::kill(worker_, SIGCONT);
  // Should it read the second after the first is all done, it runs that: the end is told anyhow.
  WaitForEnd();
}

TEST_F(AgentInterruptionTest, RestartedWorkerTakesOverARunningTrainer) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 150, 10, /*checkpoint_interval=*/40));
  WaitForEvents();
  KillWorker();
  absl::SleepFor(absl::Milliseconds(200));
  StartConnectedWorker();
  const auto hellos = scheduler_.With([](State& state) { return state.hellos; });
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
  const pid_t trainer = WaitForEvents();
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
    const std::string wrapper = JoinPath(root_, "wrapper");
    Write("wrapper", "#!/bin/sh\n" QSWEEP_FAKE_QTRAIN " \"$@\"\nexit $?\n");
    std::filesystem::permissions(wrapper, std::filesystem::perms::owner_all);
    StartConnectedWorker(wrapper);
    Assign(MakeAssign(kId, "finish", 100'000, 10));
  }
};

TEST_F(WrappedTrainerTest, WritesItsCheckpoint) {
  const pid_t trainer = WaitForEvents();
  Stop(/*checkpoint=*/true);
  EXPECT_EQ(WaitForEnd().blame(), v1::BLAME_CONTROL_PLANE);
  EXPECT_TRUE(Record().events.back().has_checkpoint());
  EXPECT_TRUE(IsGone(trainer));
}

TEST_F(WrappedTrainerTest, IsKilledWithItsWrapper) {
  const pid_t trainer = WaitForEvents();
  Stop(/*checkpoint=*/false);
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_TRUE(IsGone(trainer));
}

TEST_F(AgentInterruptionTest, TrainerKilledWhileItsAgentWasAwayIsReported) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  const pid_t trainer = WaitForEvents();
  KillWorker();
  ::kill(trainer, SIGKILL);
  StartConnectedWorker();
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_FALSE(ended.succeeded());
  EXPECT_EQ(ended.blame(), v1::BLAME_MACHINE);
}

TEST_F(AgentInterruptionTest, WhyATrainerWasStoppedOutlivesItsAgent) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 1000, /*step_ms=*/1000));
  WaitForEvents(1);
  Stop(/*checkpoint=*/true);
  ASSERT_TRUE(Await([this] { return PathExists(JoinPath(AttemptPath(), kStopFile)); }));
  KillWorker();
  StartConnectedWorker();
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_EQ(ended.blame(), v1::BLAME_CONTROL_PLANE);
  EXPECT_EQ(ended.error(), "stopped: cancelled by its owner");
}

TEST_F(AgentInterruptionTest, HowATrainerEndedOutlivesItsAgent) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  const pid_t trainer = WaitForEvents();
  scheduler_.Stop();
  ::kill(trainer, SIGKILL);
  ASSERT_TRUE(WaitForEndedFile());
  KillWorker();
  scheduler_.Start();
  StartConnectedWorker();
  EXPECT_EQ(WaitForEnd().signal(), SIGKILL);
}

TEST_F(AgentInterruptionTest, AttemptTheSchedulerGaveUpIsKilledAndDeleted) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  const pid_t trainer = WaitForEvents();
  KillWorker();
  scheduler_.With([](State& state) { state.keep_held = false; });
  StartConnectedWorker();
  EXPECT_TRUE(WaitForNoDirectory());
  EXPECT_TRUE(IsGone(trainer));
  EXPECT_FALSE(Record().ended.has_value());
}

TEST_F(AgentInterruptionTest, ShutdownStopsReportsAndSaysGoodbye) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  WaitForEvents();
  const ExitStatus exit = EndWorker(SIGTERM);
  EXPECT_EQ(exit.exit_code, 0);
  EXPECT_EQ(exit.signal, 0);
  EXPECT_EQ(Record().ended->blame(), v1::BLAME_CONTROL_PLANE);
  EXPECT_TRUE(Record().events.back().has_checkpoint());
  EXPECT_EQ(Record().missing_artifacts, 0);
  EXPECT_TRUE(scheduler_.With([](State& state) { return state.goodbye.has_value(); }));
  EXPECT_TRUE(WaitForNoDirectory());
}

TEST_F(AgentInterruptionTest, RefusedWorkerSaysWhyAndKeepsTrying) {
  scheduler_.With([](State& state) { state.refuse_hellos = true; });
  StartWorker();
  ASSERT_TRUE(scheduler_.WaitFor([](const State& state) { return !state.hellos.empty(); }));
  EXPECT_TRUE(WaitForWords("the scheduler refuses this worker (FAILED_PRECONDITION: too old)"));
  scheduler_.With([](State& state) { state.refuse_hellos = false; });
  EXPECT_TRUE(WaitForConnection());
}

TEST_F(AgentInterruptionTest, ASchedulerThatCannotBeReachedIsNamedWithTheCause) {
  scheduler_.Stop();
  StartWorker();
  EXPECT_TRUE(Await([this] {
    return absl::StrContains(Words(), "no session with the scheduler (UNAVAILABLE: ") &&
           absl::StrContains(Words(), address_);
  }));
  scheduler_.Start();
  EXPECT_TRUE(WaitForConnection());
}

TEST_F(AgentInterruptionTest, ASessionThatEndsWithItsWelcomeIsTriedLessAndLess) {
  scheduler_.With([](State& state) { state.end_sessions = true; });
  StartWorker();
  ASSERT_TRUE(scheduler_.WaitFor([](const State& state) { return !state.hellos.empty(); }));
  absl::SleepFor(absl::Seconds(2));
  // 0.1 s, and more each time.
  EXPECT_LE(scheduler_.With([](State& state) { return state.hellos.size(); }), 10u);
  scheduler_.With([](State& state) { state.end_sessions = false; });
  EXPECT_TRUE(WaitForConnection());
}

// Paths may hold any bytes, messages may not.
TEST_F(AgentInterruptionTest, ProductLostFromADirectoryThatIsNotUtf8IsReported) {
  state_name_ = "st\xFFte";
  StartConnectedWorker();
  HoldUploads(true);
  Assign(MakeAssign(kId, "finish", 5, 1, /*checkpoint_interval=*/2));
  EXPECT_TRUE(WaitForEndedFile());
  std::filesystem::remove(JoinPath(AttemptPath(), kAdapterFile));
  HoldUploads(false);
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_FALSE(ended.succeeded());
  EXPECT_THAT(ended.error(), HasSubstr("st?te"));
}

TEST_F(AgentInterruptionTest, EveryReasonThatAFileWaitsForIsLogged) {
  StartConnectedWorker();
  const auto end_uploads = [this](const grpc::Status& status) {
    scheduler_.With([&status](State& state) { state.uploads_end = status; });
  };
  end_uploads({grpc::StatusCode::UNAVAILABLE, "is stopping"});
  Assign(MakeAssign(kId, "finish", 5, 1));
  EXPECT_TRUE(WaitForWords("is stopping"));
  end_uploads({grpc::StatusCode::RESOURCE_EXHAUSTED, "has no room"});
  EXPECT_TRUE(WaitForWords("has no room"));
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
