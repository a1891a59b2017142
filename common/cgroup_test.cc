#include "common/cgroup.h"

#include "common/testing/file_tree.h"

namespace qsweep {
namespace {

constexpr int64_t kMiB = 1 << 20;

using CgroupTest = FileTreeTest;

TEST_F(CgroupTest, NoneHasNoLimits) {
  EXPECT_EQ(CgroupMemoryLimit(root_), std::nullopt);
  EXPECT_EQ(CgroupCpuLimit(root_), std::nullopt);
}

TEST_F(CgroupTest, TheLeastLimitOnTheWayUpCounts) {
  Write("proc/self/cgroup", "0::/user.slice/job.scope\n");
  Write("sys/fs/cgroup/user.slice/job.scope/memory.max", "max\n");
  Write("sys/fs/cgroup/user.slice/job.scope/cpu.max", "max 100000\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), std::nullopt);
  EXPECT_EQ(CgroupCpuLimit(root_), std::nullopt);
  Write("sys/fs/cgroup/user.slice/memory.max", "1073741824\n");
  Write("sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), 1024 * kMiB);
  EXPECT_EQ(CgroupCpuLimit(root_), 2.5);
  Write("sys/fs/cgroup/user.slice/job.scope/memory.max", "536870912\n");
  Write("sys/fs/cgroup/user.slice/job.scope/cpu.max", "50000 100000\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), 512 * kMiB);
  EXPECT_EQ(CgroupCpuLimit(root_), 0.5);
  Write("sys/fs/cgroup/memory.max", "268435456\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), 256 * kMiB);
}

TEST_F(CgroupTest, Version1) {
  Write("proc/self/cgroup", "5:cpu,cpuacct:/elsewhere\n4:memory:/docker/abc\n0::/\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), std::nullopt);
  Write("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "104857600\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), 100 * kMiB);
}

TEST_F(CgroupTest, InAContainerTheMountPointIsItsOwnCgroup) {
  Write("proc/self/cgroup", "4:memory:/docker/abc\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "104857600\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), 100 * kMiB);
}

}  // namespace
}  // namespace qsweep
