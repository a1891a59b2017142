#include "qctl/client.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "common/rpc.h"
#include "common/shutdown.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace {

// In a process of its own: an interrupt stays.
TEST(ClientTest, ASignalThatWasSeenBeforeTheCallInterruptsIt) {
  BlockShutdownSignals();
  Client client(MakeChannel("unix:/nowhere/to/be/found"));
  EXPECT_TRUE(absl::IsUnavailable(client.GetSweep("1").status()));
  raise(SIGINT);
  ASSERT_EQ(Interrupts(), 1);
  EXPECT_EQ(client.GetSweep("1").status(), InterruptedError());
  v1::SweepUpdate update;
  SweepWatch watch(client, "1");
  EXPECT_EQ(watch.Next(absl::Seconds(1), &update).status(), InterruptedError());
}

}  // namespace
}  // namespace qsweep::qctl
