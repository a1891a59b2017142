// The agent itself, in this process: the test decides how much disk there is and what time it is.
#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <string>

#include "common/rpc.h"
#include "common/testing/shifted_clock.h"
#include "worker/agent/agent.h"
#include "worker/agent/testing/agent_test.h"

namespace qsweep {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class InProcessAgentTest : public AgentTest {
 protected:
  InProcessAgentTest() {
    AgentOptions options;
    options.info.set_name("tester");
    options.info.set_slots(1);
    options.trainer.qtrain = QSWEEP_FAKE_QTRAIN;
    options.trainer.threads = 1;
    options.trainer.memory_limit_bytes = 64 << 20;
    options.disk_reserve_bytes = 500 << 20;
    options.free_disk_bytes = [this] { return free_disk_.load(); };
    agent_.emplace(options, *StateDirectory::Open(StatePath()), MakeChannel(address_),
                   MakeChannel(address_), clock_);
  }

  std::future<absl::Status> Run() {
    auto done = std::async(std::launch::async, [this] { return agent_->Run(); });
    EXPECT_TRUE(WaitForConnection());
    return done;
  }

  // Looked at once a second.
  void SetFreeDisk(int64_t bytes) {
    free_disk_ = bytes;
    clock_.Advance(1);
  }

  ShiftedClock clock_;
  std::atomic<int64_t> free_disk_ = int64_t{1} << 40;
  std::optional<Agent> agent_;
};

TEST_F(InProcessAgentTest, TakesNoRunsWhileItsDiskIsNearlyFullAndTakesThemAgain) {
  // What changes here is told at once, not with the next heartbeat.
  scheduler_.With([](State& state) { state.heartbeat_ms = 60'000; });
  free_disk_ = 100 << 20;
  std::future<absl::Status> done = Run();
  EXPECT_TRUE(scheduler_.WaitFor(
      [](const State& state) { return absl::StrContains(state.refuses, "nearly full: 100 MiB"); }));
  // On its way already when the scheduler heard: given back, and it was nobody's fault.
  Assign(MakeAssign(kId, "finish", 20, 1));
  const v1::AttemptEnded ended = WaitForEnd();
  EXPECT_EQ(ended.blame(), v1::BLAME_CONTROL_PLANE);
  EXPECT_THAT(ended.error(), HasSubstr("nearly full"));
  EXPECT_TRUE(Record().events.empty());

  SetFreeDisk(510 << 20);  // the reserve, but not a tenth more: it would be low again at once
  const std::string seen = absl::StrCat("qsweep_worker_disk_free_bytes ", 510 << 20, "\n");
  EXPECT_TRUE(Await([&] { return absl::StrContains(agent_->Metrics().text(), seen); }));
  EXPECT_THAT(agent_->Metrics().text(), HasSubstr("qsweep_holding 1\n"));

  SetFreeDisk(600 << 20);
  EXPECT_TRUE(scheduler_.WaitFor([](const State& state) { return state.refuses.empty(); }));
  const AttemptId next{RunId(7), AttemptNumber(3)};
  Assign(MakeAssign(next, "finish", 20, 1));
  EXPECT_TRUE(WaitForEnd(next).succeeded());
  EXPECT_THAT(agent_->Metrics().text(),
              AllOf(HasSubstr("qsweep_worker_connected 1\n"), HasSubstr("qsweep_holding 0\n")));
  agent_->Shutdown();
  EXPECT_TRUE(done.get().ok());
}

class LeavingAgentTest : public InProcessAgentTest {
 protected:
  // Leaves when all its time for reports is over, with an attempt that it could not report.
  void LeaveWithAnEnd(const std::string& role) {
    scheduler_.With([](State& state) { state.acknowledge_ends = false; });
    HoldUploads(true);
    std::future<absl::Status> done = Run();
    Assign(MakeAssign(kId, role, 5, 1));
    EXPECT_TRUE(WaitForEndedFile());
    agent_->Shutdown();
    while (done.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
      clock_.Advance(46);  // kStopGrace and what agent.cc adds to it
    }
    EXPECT_TRUE(done.get().ok());
    agent_.reset();
  }
  // The next agent there reports it.
  v1::AttemptEnded Report() {
    scheduler_.With([](State& state) { state.acknowledge_ends = true; });
    HoldUploads(false);
    StartConnectedWorker();
    EXPECT_TRUE(WaitForNoDirectory());
    return Record().ended.value_or(v1::AttemptEnded());
  }
  bool SaidGoodbye() {
    return scheduler_.With([](State& state) { return state.goodbye.has_value(); });
  }
};

// A goodbye would have its run computed again elsewhere.
TEST_F(LeavingAgentTest, SaysNoGoodbyeWithASuccessToReport) {
  LeaveWithAnEnd("finish");
  EXPECT_FALSE(SaidGoodbye());
  EXPECT_TRUE(Report().succeeded());
}

TEST_F(LeavingAgentTest, SaysGoodbyeWithAFailureToReport) {
  LeaveWithAnEnd("fail");
  EXPECT_TRUE(SaidGoodbye());
  EXPECT_FALSE(Report().succeeded());
}

}  // namespace
}  // namespace qsweep
