// An attempt from its assignment to its end, good or bad.
#include "worker/agent/testing/agent_test.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/attempt_dir.h"

namespace qsweep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(AgentTest, RunsAnAssignmentToItsEnd) {
  StartConnectedWorker();
  const v1::Hello hello = scheduler_.With([](State& state) { return state.hellos[0]; });
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

TEST_F(AgentTest, HandsItsDeviceToTrainersAndHasThatDevicesMemory) {
  StartConnectedWorker(QSWEEP_FAKE_QTRAIN, {"--device", "cuda:1"});
  const v1::WorkerInfo info = scheduler_.With([](State& s) { return s.hellos.back().info(); });
  EXPECT_EQ(info.device(), "cuda:1");
  EXPECT_EQ(info.memory_bytes(), 1'000'000);  // not --memory-limit's 512M, nor the machine's
  Assign(MakeAssign(kId, "finish", 2, 1));
  EXPECT_TRUE(WaitForEnd().succeeded());
  EXPECT_EQ(Record().events.back().finished().result().provenance().device(), "cuda:1");
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

TEST_F(AgentTest, ADownloadThatArrivesDamagedIsFetchedAgain) {
  StartConnectedWorker();
  scheduler_.With([](State& state) { state.damage_downloads = 1; });
  v1::Assign assign = MakeAssign(kId, "finish", 20, 1);
  *assign.mutable_weights() = Store("a trained base");
  Assign(assign);
  EXPECT_TRUE(WaitForEnd().succeeded());
  EXPECT_TRUE(HasArtifact("adapter of a trained base"));
}

TEST_F(AgentTest, HeartbeatsTellOfTheTrainer) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 1000, 10));
  EXPECT_TRUE(WaitForRecord([](const AttemptRecord& record) {
    return record.progress.rss_bytes() > 0 && record.progress.step() > 20;
  }));
  EXPECT_EQ(Record().progress.total_steps(), 1000);
  EXPECT_EQ(Record().progress.images_per_s(), 100);
}

TEST_F(AgentTest, HeartbeatsGoOnWhileAnUploadHangs) {
  StartConnectedWorker();
  HoldUploads(true);
  Assign(MakeAssign(kId, "finish", 30, 5, /*checkpoint_interval=*/3));
  ASSERT_TRUE(scheduler_.WaitFor([](const State& state) { return state.uploads_held == 1; }));
  const int before = scheduler_.With([](State& state) { return state.heartbeats; });
  EXPECT_TRUE(
      scheduler_.WaitFor([before](const State& state) { return state.heartbeats >= before + 5; }));
  // Nothing that names the file has gone ahead of it.
  for (const v1::Event& event : Record().events) EXPECT_FALSE(event.has_checkpoint());
  HoldUploads(false);
  EXPECT_TRUE(WaitForEnd().succeeded());
  EXPECT_EQ(Record().missing_artifacts, 0);
}

TEST_F(AgentTest, StepsAndFilesUnderWayAreToldWhileEventsWaitForAnUpload) {
  StartConnectedWorker();
  HoldUploads(true);
  Assign(MakeAssign(kId, "finish", 1000, 10, /*checkpoint_interval=*/3));
  EXPECT_TRUE(WaitForRecord([](const AttemptRecord& record) {
    return record.progress.step() > 50 && record.signs_of_life > 0;
  }));
  for (const v1::Event& event : Record().events) EXPECT_LE(event.metrics().step(), 3);
}

TEST_F(AgentTest, MoreAssignmentsThanSlotsWaitForOne) {
  StartConnectedWorker();
  std::vector<AttemptId> ids;
  for (int i = 1; i <= 3; ++i) ids.push_back({RunId(i), AttemptNumber(1)});
  for (const AttemptId& id : ids) Assign(MakeAssign(id, "finish", 30, 10));
  for (const AttemptId& id : ids) ASSERT_TRUE(WaitForEnd(id).succeeded());
  // The worker has two slots. By the trainers' clock.
  const auto last = [this](const AttemptId& id) { return Record(id).events.back().unix_us(); };
  EXPECT_GE(Record(ids[2]).events.front().unix_us(), std::min(last(ids[0]), last(ids[1])));
}

TEST_F(AgentTest, KilledTrainerIsTheMachinesFault) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "finish", 100'000, 10));
  ::kill(WaitForEvents(), SIGKILL);
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

TEST_F(AgentTest, CrashNamesTheSignal) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "crash", 3, 1));
  EXPECT_EQ(WaitForEnd().error(), "the trainer was killed by SIGSEGV");
}

TEST_F(AgentTest, DamagedProductIsNoSuccess) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "damage", 3, 1));
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_FALSE(ended.succeeded());
  EXPECT_EQ(ended.blame(), v1::BLAME_MACHINE);
  EXPECT_THAT(ended.error(), HasSubstr("adapter_model.safetensors could not be uploaded"));
  EXPECT_EQ(Record().missing_artifacts, 0);
}

TEST_F(AgentTest, SilentDeathCarriesTheTrainersLastWords) {
  StartConnectedWorker();
  Assign(MakeAssign(kId, "vanish", 3, 1));
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_EQ(ended.blame(), v1::BLAME_MACHINE);
  EXPECT_EQ(ended.exit_code(), 3);
  EXPECT_EQ(ended.log_tail(), "its last words: ? and nothing more\n");
}

}  // namespace
}  // namespace qsweep
