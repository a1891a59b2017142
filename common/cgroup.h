// The cgroup that this process is in, version 1 or 2, and the limits of it and of all above it.
// Files are read below `root`, which tests replace by a directory of their own.
#ifndef QSWEEP_COMMON_CGROUP_H_
#define QSWEEP_COMMON_CGROUP_H_

#include <cstdint>
#include <optional>
#include <string>

namespace qsweep {

// Where the files of its memory are, below the usual mount points; the mount point itself where the
// hierarchy above is hidden (containers). Empty: there is none.
std::string MemoryCgroupV1(const std::string& root);
std::string CgroupV2(const std::string& root);

// Bytes: the least of memory.limit_in_bytes (version 1) and memory.max (2).
std::optional<int64_t> CgroupMemoryLimit(const std::string& root = "/");
// Processors' worth of time: the least quota of cpu.max (version 2).
std::optional<double> CgroupCpuLimit(const std::string& root = "/");

}  // namespace qsweep

#endif  // QSWEEP_COMMON_CGROUP_H_
