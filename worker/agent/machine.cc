#include "worker/agent/machine.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr int64_t kMaxProcFileBytes = 4 << 20;

std::vector<std::string> Words(absl::string_view line) {
  return absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
}

// The number after `name` (as in "MemTotal: 123 kB" or "oom_kill 4"); nullopt if the file has none.
std::optional<int64_t> NumberAfter(const std::string& path, absl::string_view name) {
  const auto text = ReadFile(path, kMaxProcFileBytes);
  if (!text.ok()) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<std::string> words = Words(line);
    int64_t value = 0;
    if (words.size() >= 2 && words[0] == name && absl::SimpleAtoi(words[1], &value)) return value;
  }
  return std::nullopt;
}

// The file's only word as a number; nullopt for "max" and for a file that is not there.
std::optional<int64_t> OnlyNumber(const std::string& path) {
  const auto text = ReadFile(path, kMaxProcFileBytes);
  int64_t value = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &value)) return std::nullopt;
  return value;
}

// The least number in files called `name` from `directory` up to `mount`.
std::optional<int64_t> LeastGoingUp(std::string directory, const std::string& mount,
                                    const std::string& name) {
  std::optional<int64_t> least;
  while (absl::StartsWith(directory, mount)) {
    const std::optional<int64_t> value = OnlyNumber(JoinPath(directory, name));
    if (value && (!least || *value < *least)) least = value;
    directory.resize(directory.rfind('/'));
  }
  return least;
}

constexpr char kMountV1[] = "sys/fs/cgroup/memory";
constexpr char kMountV2[] = "sys/fs/cgroup";

// The cgroup path of this process in the hierarchy for which `is_it(controllers)` holds.
template <typename Predicate>
std::optional<std::string> CgroupPath(const std::string& root, Predicate is_it) {
  const auto text = ReadFile(JoinPath(root, "proc/self/cgroup"), kMaxProcFileBytes);
  if (!text.ok()) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    // hierarchy-ID:controllers:path
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() == 3 && is_it(parts[0], parts[1])) {
      return std::string(absl::StripSuffix(parts[2], "/"));
    }
  }
  return std::nullopt;
}

std::string PlaceInMount(const std::string& mount, const std::optional<std::string>& path) {
  if (!path || !PathExists(mount)) return "";
  const std::string directory = absl::StrCat(mount, *path);
  return PathExists(directory) ? directory : mount;
}

}  // namespace

std::string Machine::CgroupV1() const {
  return PlaceInMount(JoinPath(root_, kMountV1),
                      CgroupPath(root_, [](const std::string&, const std::string& controllers) {
                        const std::vector<std::string> names = absl::StrSplit(controllers, ',');
                        return std::find(names.begin(), names.end(), "memory") != names.end();
                      }));
}

std::string Machine::CgroupV2() const {
  return PlaceInMount(JoinPath(root_, kMountV2),
                      CgroupPath(root_, [](const std::string& id, const std::string& controllers) {
                        return id == "0" && controllers.empty();
                      }));
}

absl::StatusOr<int64_t> Machine::MemoryBytes() const {
  const std::string meminfo = JoinPath(root_, "proc/meminfo");
  const std::optional<int64_t> total_kib = NumberAfter(meminfo, "MemTotal:");
  if (!total_kib) return absl::InternalError(absl::StrCat(meminfo, ": no MemTotal"));
  int64_t least = *total_kib * 1024;
  if (const std::string v1 = CgroupV1(); !v1.empty()) {
    least = std::min(
        least,
        LeastGoingUp(v1, JoinPath(root_, kMountV1), "memory.limit_in_bytes").value_or(least));
  }
  if (const std::string v2 = CgroupV2(); !v2.empty()) {
    least =
        std::min(least, LeastGoingUp(v2, JoinPath(root_, kMountV2), "memory.max").value_or(least));
  }
  return least;
}

int64_t Machine::MemoryAvailableBytes() const {
  return NumberAfter(JoinPath(root_, "proc/meminfo"), "MemAvailable:").value_or(0) * 1024;
}

int64_t Machine::OutOfMemoryKills() const {
  // A cgroup counts its own processes whoever ran short, the cgroup or the machine.
  if (const std::string v2 = CgroupV2(); !v2.empty()) {
    const auto kills = NumberAfter(JoinPath(v2, "memory.events"), "oom_kill");
    if (kills) return *kills;
  }
  if (const std::string v1 = CgroupV1(); !v1.empty()) {
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
