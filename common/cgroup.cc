#include "common/cgroup.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file.h"

namespace qsweep {
namespace {

constexpr int64_t kMaxFileBytes = 1 << 20;
constexpr char kMountV1[] = "sys/fs/cgroup/memory";
constexpr char kMountV2[] = "sys/fs/cgroup";
// Version 1 writes "no limit" as a number near 2^63.
constexpr int64_t kNoLimit = int64_t{1} << 60;

// The path of this process in the hierarchy for which `is_it(id, controllers)` holds.
template <typename Predicate>
std::optional<std::string> PathIn(const std::string& root, Predicate is_it) {
  const auto text = ReadFile(JoinPath(root, "proc/self/cgroup"), kMaxFileBytes);
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

// The words of the file called `name`, as numbers; "max" is left out.
std::vector<int64_t> Numbers(const std::string& directory, const std::string& name) {
  std::vector<int64_t> numbers;
  const auto text = ReadFile(JoinPath(directory, name), kMaxFileBytes);
  if (!text.ok()) return numbers;
  for (absl::string_view word : absl::StrSplit(*text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    int64_t value = 0;
    if (absl::SimpleAtoi(word, &value)) numbers.push_back(value);
  }
  return numbers;
}

// visit(directory) from `directory` up to `mount`.
template <typename Visit>
void GoUp(std::string directory, const std::string& mount, const Visit& visit) {
  for (; absl::StartsWith(directory, mount); directory.resize(directory.rfind('/'))) {
    visit(directory);
  }
}

}  // namespace

std::string MemoryCgroupV1(const std::string& root) {
  return PlaceInMount(JoinPath(root, kMountV1),
                      PathIn(root, [](const std::string&, const std::string& controllers) {
                        const std::vector<std::string> names = absl::StrSplit(controllers, ',');
                        return std::find(names.begin(), names.end(), "memory") != names.end();
                      }));
}

std::string CgroupV2(const std::string& root) {
  return PlaceInMount(JoinPath(root, kMountV2),
                      PathIn(root, [](const std::string& id, const std::string& controllers) {
                        return id == "0" && controllers.empty();
                      }));
}

std::optional<int64_t> CgroupMemoryLimit(const std::string& root) {
  std::optional<int64_t> least;
  const auto look = [&least](const std::string& directory, const std::string& mount,
                             const std::string& name) {
    GoUp(directory, mount, [&](const std::string& at) {
      for (const int64_t bytes : Numbers(at, name)) {
        if (bytes < least.value_or(kNoLimit)) least = bytes;
      }
    });
  };
  look(MemoryCgroupV1(root), JoinPath(root, kMountV1), "memory.limit_in_bytes");
  look(CgroupV2(root), JoinPath(root, kMountV2), "memory.max");
  return least;
}

std::optional<double> CgroupCpuLimit(const std::string& root) {
  std::optional<double> least;
  GoUp(CgroupV2(root), JoinPath(root, kMountV2), [&least](const std::string& at) {
    // quota and period, in microseconds; the quota may be "max"
    const std::vector<int64_t> numbers = Numbers(at, "cpu.max");
    if (numbers.size() != 2 || numbers[1] <= 0) return;
    const double cores = static_cast<double>(numbers[0]) / static_cast<double>(numbers[1]);
    if (!least || cores < *least) least = cores;
  });
  return least;
}

}  // namespace qsweep
