#include "worker/agent/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <string>

#include "common/attempt_id.h"
#include "common/rpc.h"
#include "common/testing/file_tree.h"
#include "worker/agent/testing/scripted_scheduler.h"

namespace qsweep {
namespace {

using State = ScriptedScheduler::State;
using SessionTest = FileTreeTest;

TEST(BackoffTest, GrowsWithJitterToItsLimitAndBeginsAnew) {
  Backoff backoff;
  absl::Duration expected = absl::Milliseconds(100);
  for (int i = 0; i < 20; ++i) {
    const absl::Duration pause = backoff.Next();
    EXPECT_GE(pause, expected / 2);
    EXPECT_LE(pause, expected);
    expected = std::min(expected * 1.6, absl::Seconds(5));
  }
  EXPECT_GE(backoff.Next(), absl::Seconds(2.5));
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
}

TEST_F(SessionTest, HeartbeatsDoNotWaitForTheEventsBeforeThem) {
  ScriptedScheduler scheduler("unix:" + root_ + "/socket");
  scheduler.With([](State& state) { state.read_pause = absl::Milliseconds(5); });
  scheduler.Start();
  std::promise<void> welcomed;
  Session session(MakeChannel("unix:" + root_ + "/socket"), SystemClock(),
                  [&welcomed](const SessionEvent& event) {
                    const auto* message = std::get_if<v1::ToWorker>(&event);
                    if (message != nullptr && message->has_welcome()) welcomed.set_value();
                  });
  session.Open({});
  welcomed.get_future().wait();
  constexpr uint64_t kBatches = 300;  // of 64 KiB: far more than lies between writer and reader
  const AttemptId id{RunId(7), AttemptNumber(2)};
  v1::FromWorker batch;
  *batch.mutable_events()->mutable_attempt() = ToProto(id);
  batch.mutable_events()->add_events()->mutable_log()->set_text(std::string(64 << 10, 'x'));
  for (uint64_t i = 0; i < kBatches; ++i) {
    batch.mutable_events()->set_begin_offset(i);
    batch.mutable_events()->set_end_offset(i + 1);
    session.Send(batch);
  }
  EXPECT_TRUE(scheduler.WaitFor([&id](const State& state) {
    const auto it = state.attempts.find(id);
    return it != state.attempts.end() && it->second.offset == kBatches;
  }));
  // They took 1.5 s at least to be read, and a heartbeat is due every 0.1 s: half of those.
  EXPECT_GE(scheduler.With([](State& state) { return state.heartbeats; }), 8);
}

}  // namespace
}  // namespace qsweep
