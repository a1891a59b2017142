// What this machine has and how busy it is, read from /proc and the cgroup files.
#ifndef QSWEEP_WORKER_AGENT_MACHINE_H_
#define QSWEEP_WORKER_AGENT_MACHINE_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace qsweep {

// Files are read below `root`, which tests replace by a directory of their own. Not thread-safe.
class Machine {
 public:
  explicit Machine(std::string root = "/") : root_(std::move(root)) {}

  // Bytes that processes here may use: the least of MemTotal and the memory limits of this
  // process's cgroup and all above it, version 1 (memory.limit_in_bytes) and 2 (memory.max).
  absl::StatusOr<int64_t> MemoryBytes() const;
  int64_t MemoryAvailableBytes() const;  // MemAvailable; 0 if unknown

  // Processes the kernel has killed for memory so far: those of this process's cgroup where it
  // counts them, else all. 0 if unknown. Only a rise means anything.
  int64_t OutOfMemoryKills() const;

  // Cores busy since the last call, on average; 0 on the first.
  double BusyCores();

 private:
  struct CpuTimes {
    int64_t busy = 0, all = 0;  // ticks, summed over cores
    int cores = 0;
  };
  CpuTimes ReadCpuTimes() const;

  std::string root_;
  std::optional<CpuTimes> last_;
};

struct ProcessUse {
  int64_t rss_bytes = 0;
  double cpu_cores = 0;  // since the last sample, on average
};

// What one process uses. Not thread-safe.
class ProcessSampler {
 public:
  // Zeros once the process is gone.
  ProcessUse Sample(pid_t pid, const Clock& clock);

 private:
  double last_cpu_seconds_ = -1;
  absl::Duration last_time_;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_MACHINE_H_
