#include "worker/agent/decision.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "common/attempt_dir.h"

namespace qsweep {
namespace {

AttemptFacts In(Phase phase) {
  AttemptFacts facts;
  facts.phase = phase;
  facts.attached = true;
  facts.slot_free = true;
  return facts;
}

TEST(NextStepTest, StartsOnceReadyWithASlotAndTheSchedulersWord) {
  EXPECT_EQ(NextStep(In(Phase::kPreparing)), Step::kWait);
  AttemptFacts facts = In(Phase::kReady);
  EXPECT_EQ(NextStep(facts), Step::kStart);
  facts.slot_free = false;
  EXPECT_EQ(NextStep(facts), Step::kWait);
  facts.slot_free = true;
  facts.attached = false;
  EXPECT_EQ(NextStep(facts), Step::kWait);
}

TEST(NextStepTest, StopBeforeTheStartNeverStarts) {
  for (const Phase phase : {Phase::kPreparing, Phase::kReady}) {
    AttemptFacts facts = In(phase);
    facts.stop = StopWish::kCheckpoint;
    EXPECT_EQ(NextStep(facts), Step::kGiveUp);
    facts.stop = StopWish::kDiscard;
    EXPECT_EQ(NextStep(facts), Step::kDelete);
  }
}

TEST(NextStepTest, StopWithCheckpointIsPatientThenNot) {
  AttemptFacts facts = In(Phase::kRunning);
  facts.attached = false;  // a stop does not need the scheduler any more
  facts.stop = StopWish::kCheckpoint;
  EXPECT_EQ(NextStep(facts), Step::kTerminate);
  facts.terminated = true;
  facts.since_terminated = kStopGrace - absl::Milliseconds(1);
  EXPECT_EQ(NextStep(facts), Step::kWait);
  facts.since_terminated = kStopGrace;
  EXPECT_EQ(NextStep(facts), Step::kKill);
  facts.killed = true;
  EXPECT_EQ(NextStep(facts), Step::kWait);
}

TEST(NextStepTest, EventsAreSentWhileAStopIsUnderWay) {
  AttemptFacts facts = In(Phase::kRunning);
  facts.stop = StopWish::kCheckpoint;
  facts.terminated = true;
  EXPECT_EQ(NextStep(facts), Step::kSendEvents);
}

TEST(NextStepTest, DiscardKillsThenDeletes) {
  AttemptFacts facts = In(Phase::kRunning);
  facts.stop = StopWish::kDiscard;
  facts.terminated = true;  // an earlier, milder wish does not delay it
  EXPECT_EQ(NextStep(facts), Step::kKill);
  facts.phase = Phase::kEnded;
  EXPECT_EQ(NextStep(facts), Step::kDelete);
}

TEST(NextStepTest, EndIsReportedAfterTheLastEventAndDeletedAfterItsAcknowledgement) {
  AttemptFacts facts = In(Phase::kEnded);
  EXPECT_EQ(NextStep(facts), Step::kSendEvents);
  facts.log_sent = true;
  EXPECT_EQ(NextStep(facts), Step::kWait);
  facts.log_acknowledged = true;
  EXPECT_EQ(NextStep(facts), Step::kSendEnd);
  facts.end_sent = true;
  EXPECT_EQ(NextStep(facts), Step::kWait);
  facts.end_acknowledged = true;
  EXPECT_EQ(NextStep(facts), Step::kDelete);
}

TEST(NextStepTest, NothingIsSentWithoutASession) {
  AttemptFacts facts = In(Phase::kEnded);
  facts.attached = false;
  EXPECT_EQ(NextStep(facts), Step::kWait);
  facts.log_sent = facts.log_acknowledged = true;
  EXPECT_EQ(NextStep(facts), Step::kWait);
}

Evidence Exit(int code, int signal) {
  Evidence evidence;
  evidence.exit = ExitStatus{code, signal};
  return evidence;
}

v1::Event FailedEvent(v1::Blame blame) {
  v1::Event event;
  event.mutable_failed()->set_blame(blame);
  event.mutable_failed()->set_message("why");
  return event;
}

TEST(JudgeTest, TheTrainersOwnWordCountsMost) {
  Evidence evidence = Exit(0, SIGKILL);
  evidence.stop_reason = "stop";
  evidence.out_of_memory_kill = evidence.disk_full = true;
  evidence.last_word = FailedEvent(v1::BLAME_CONFIG);
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_CONFIG);
  EXPECT_EQ(Judge(evidence).error(), "why");
  evidence.last_word = FailedEvent(v1::BLAME_UNSPECIFIED);
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_MACHINE);
  evidence.last_word->mutable_finished();
  EXPECT_TRUE(Judge(evidence).succeeded());
}

TEST(JudgeTest, ExitCodeZeroWithoutFinishedIsNoSuccess) {
  const v1::AttemptEnded ended = Judge(Exit(0, 0));
  EXPECT_FALSE(ended.succeeded());
  EXPECT_EQ(ended.blame(), v1::BLAME_MACHINE);
}

TEST(JudgeTest, OutOfMemoryNeedsBothTheSignalAndTheKernelsWord) {
  Evidence evidence = Exit(0, SIGKILL);
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_MACHINE);
  evidence.out_of_memory_kill = true;
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_RESOURCES);
  EXPECT_EQ(Judge(evidence).signal(), SIGKILL);
  evidence.exit = ExitStatus{0, SIGSEGV};
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_MACHINE);
  EXPECT_EQ(Judge(evidence).error(), "the trainer was killed by SIGSEGV");
  evidence.exit = std::nullopt;  // its exit was not ours to see
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_RESOURCES);
}

TEST(JudgeTest, BlameByCircumstance) {
  Evidence evidence = Exit(kExitStopped, 0);
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_CONTROL_PLANE);
  evidence.stop_reason = "cancelled";
  EXPECT_EQ(Judge(evidence).error(), "stopped: cancelled");

  evidence = Exit(1, 0);
  evidence.disk_full = true;
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_MACHINE);

  evidence = Evidence();
  evidence.start_error = "no such program";
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_MACHINE);
  EXPECT_EQ(Judge(evidence).error(), "could not be started: no such program");
  evidence.input_refused = true;
  EXPECT_EQ(Judge(evidence).blame(), v1::BLAME_CONTROL_PLANE);

  EXPECT_EQ(Judge(Evidence()).blame(), v1::BLAME_MACHINE);
}

}  // namespace
}  // namespace qsweep
