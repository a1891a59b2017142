#include "worker/agent/machine.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/cgroup.h"
#include "common/file.h"
#include "common/proc.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr int64_t kMaxProcFileBytes = 4 << 20;

std::vector<std::string> Words(absl::string_view line) {
  return absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
}

}  // namespace

absl::StatusOr<int64_t> Machine::MemoryBytes() const {
  const std::string meminfo = JoinPath(root_, "proc/meminfo");
  const int64_t total = BytesAfter(meminfo, "MemTotal:");
  if (total == 0) return absl::InternalError(absl::StrCat(meminfo, ": no MemTotal"));
  return std::min(total, CgroupMemoryLimit(root_).value_or(total));
}

int64_t Machine::MemoryAvailableBytes() const {
  return BytesAfter(JoinPath(root_, "proc/meminfo"), "MemAvailable:");
}

int64_t Machine::OutOfMemoryKills() const {
  // A cgroup counts its own processes whoever ran short, the cgroup or the machine.
  if (const std::string v2 = CgroupV2(root_); !v2.empty()) {
    const auto kills = NumberAfter(JoinPath(v2, "memory.events"), "oom_kill");
    if (kills) return *kills;
  }
  if (const std::string v1 = MemoryCgroupV1(root_); !v1.empty()) {
    const auto kills = NumberAfter(JoinPath(v1, "memory.oom_control"), "oom_kill");
    if (kills) return *kills;
  }
  return NumberAfter(JoinPath(root_, "proc/vmstat"), "oom_kill").value_or(0);
}

Machine::CpuTimes Machine::ReadCpuTimes() const {
  CpuTimes times;
  const auto text = ReadFile(JoinPath(root_, "proc/stat"), kMaxProcFileBytes);
  if (!text.ok()) return times;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (!absl::StartsWith(line, "cpu")) continue;
    const std::vector<std::string> words = Words(line);
    if (words[0] != "cpu") {
      ++times.cores;
      continue;
    }
    // user nice system idle iowait irq softirq steal; guest times are within user and nice.
    for (size_t i = 1; i < words.size() && i <= 8; ++i) {
      int64_t ticks = 0;
      if (!absl::SimpleAtoi(words[i], &ticks)) return CpuTimes();
      times.all += ticks;
      if (i != 4 && i != 5) times.busy += ticks;
    }
  }
  return times;
}

double Machine::BusyCores() {
  const CpuTimes now = ReadCpuTimes();
  const std::optional<CpuTimes> before = std::exchange(last_, now);
  if (!before || now.all <= before->all) return 0;
  return static_cast<double>(now.busy - before->busy) / static_cast<double>(now.all - before->all) *
         now.cores;
}

ProcessUse ProcessSampler::Sample(pid_t pid, const Clock& clock) {
  ProcessUse use;
  const auto stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"), kMaxProcFileBytes);
  if (!stat.ok()) return use;
  // "pid (name) state ...": the name may hold spaces and brackets, so count from the last one.
  const size_t close = stat->rfind(')');
  if (close == std::string::npos) return use;
  const std::vector<std::string> words = Words(absl::string_view(*stat).substr(close + 1));
  // Fields 14, 15 and 24 of proc(5); words[0] is field 3.
  int64_t user = 0, system = 0, pages = 0;
  if (words.size() < 22 || !absl::SimpleAtoi(words[11], &user) ||
      !absl::SimpleAtoi(words[12], &system) || !absl::SimpleAtoi(words[21], &pages)) {
    return use;
  }
  use.rss_bytes = pages * ::sysconf(_SC_PAGESIZE);
  const double cpu_seconds =
      static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const absl::Duration time = clock.Monotonic();
  const double elapsed = absl::ToDoubleSeconds(time - last_time_);
  if (last_cpu_seconds_ >= 0 && elapsed > 0) {
    use.cpu_cores = std::max(0.0, cpu_seconds - last_cpu_seconds_) / elapsed;
  }
  last_cpu_seconds_ = cpu_seconds;
  last_time_ = time;
  return use;
}

}  // namespace qsweep
