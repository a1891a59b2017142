#include "worker/agent/machine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>

#include "common/clock.h"
#include "common/file.h"
#include "common/testing/file_tree.h"

namespace qsweep {
namespace {

constexpr int64_t kMiB = 1 << 20;

class MachineTest : public FileTreeTest {
 protected:
  MachineTest() {
    Write("proc/meminfo", "MemTotal:        8388608 kB\nMemAvailable:    1024 kB\n");
  }
};

TEST_F(MachineTest, WithoutACgroupTheMachinesMemoryCounts) {
  EXPECT_EQ(*Machine(root_).MemoryBytes(), 8192 * kMiB);
  EXPECT_EQ(Machine(root_).MemoryAvailableBytes(), kMiB);
}

TEST_F(MachineTest, NoMeminfoIsAnError) {
  ASSERT_TRUE(RemoveTree(JoinPath(root_, "proc/meminfo")).ok());
  EXPECT_FALSE(Machine(root_).MemoryBytes().ok());
}

TEST_F(MachineTest, TheLimitOfTheCgroupCounts) {
  Write("proc/self/cgroup", "0::/job.scope\n");
  Write("sys/fs/cgroup/job.scope/memory.max", "1073741824\n");
  EXPECT_EQ(*Machine(root_).MemoryBytes(), 1024 * kMiB);
}

TEST_F(MachineTest, OutOfMemoryKillsOfTheCgroupGoBeforeTheMachines) {
  EXPECT_EQ(Machine(root_).OutOfMemoryKills(), 0);
  Write("proc/vmstat", "pgfault 100\noom_kill 9\n");
  EXPECT_EQ(Machine(root_).OutOfMemoryKills(), 9);
  Write("proc/self/cgroup", "4:memory:/a\n0::/b\n");
  Write("sys/fs/cgroup/memory/a/memory.oom_control", "oom_kill_disable 0\noom_kill 3\n");
  EXPECT_EQ(Machine(root_).OutOfMemoryKills(), 3);
  Write("sys/fs/cgroup/b/memory.events", "low 0\noom 5\noom_kill 2\n");
  EXPECT_EQ(Machine(root_).OutOfMemoryKills(), 2);
}

TEST_F(MachineTest, BusyCoresIsTheShareOfTicksTimesCores) {
  Machine machine(root_);
  Write("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nintr 5\n");
  EXPECT_EQ(machine.BusyCores(), 0);
  // 150 of 200 new ticks were busy; waiting for a disk is idle.
  Write("proc/stat", "cpu  200 20 130 830 20 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nintr 5\n");
  EXPECT_DOUBLE_EQ(machine.BusyCores(), 3.0);
}

TEST(ProcessSamplerTest, SeesThisProcessAtWork) {
  ProcessSampler sampler;
  EXPECT_GT(sampler.Sample(::getpid(), SystemClock()).rss_bytes, kMiB);
  const absl::Duration start = SystemClock().Monotonic();
  const std::clock_t cpu_start = std::clock();
  volatile int64_t work = 0;
  while (std::clock() - cpu_start < CLOCKS_PER_SEC / 5) work = work + 1;
  const ProcessUse use = sampler.Sample(::getpid(), SystemClock());
  const double wall = absl::ToDoubleSeconds(SystemClock().Monotonic() - start);
  const double cpu = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  // The kernel tells it in ticks of 10 ms; the clocks are not read at the same instant.
  EXPECT_NEAR(use.cpu_cores * wall, cpu, 0.05);
}

TEST(ProcessSamplerTest, NoProcessUsesNothing) {
  EXPECT_EQ(ProcessSampler().Sample(0, SystemClock()).rss_bytes, 0);
}

TEST(RealMachineTest, HasMemory) {
  EXPECT_GT(*Machine().MemoryBytes(), 64 * kMiB);
  EXPECT_GT(Machine().MemoryAvailableBytes(), 0);
}

}  // namespace
}  // namespace qsweep
