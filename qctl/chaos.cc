#include "qctl/chaos.h"

#include <signal.h>

#include <filesystem>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/file.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace fs = std::filesystem;
namespace {

constexpr char kDaemonLock[] = "lock";
// Longer than heartbeats, shorter than leases: a machine that was suspended and came back.
constexpr absl::Duration kStopped = absl::Seconds(2);

// The process that a lock file names, if it still is the program that it ought to be: never a
// stranger who got its number. (Asking for the lock could keep a daemon from taking it.)
pid_t Holder(const std::string& lock_path, const char* program) {
  const pid_t pid = FileLock::Holder(lock_path);
  std::error_code error;
  const fs::path exe = fs::read_symlink(absl::StrCat("/proc/", pid, "/exe"), error);
  return pid > 0 && !error && exe.filename() == program ? pid : 0;
}

}  // namespace

Chaos::Chaos(std::string data_dir, uint32_t seed) : data_dir_(std::move(data_dir)), random_(seed) {}

std::vector<pid_t> Chaos::Trainers() const {
  std::vector<pid_t> pids;
  const std::string attempts = JoinPath(data_dir_, "worker/attempts");
  for (const std::string& name : ListDirectory(attempts).value_or(std::vector<std::string>())) {
    const pid_t pid = Holder(JoinPath(JoinPath(attempts, name), kLockFile), "qtrain");
    if (pid != 0) pids.push_back(pid);
  }
  return pids;
}

pid_t Chaos::Find(Victim victim) {
  switch (victim) {
    case Victim::kScheduler:
      return Holder(JoinPath(data_dir_, kDaemonLock), "qscheduler");
    case Victim::kWorker:
      return Holder(JoinPath(JoinPath(data_dir_, "worker"), kDaemonLock), "qworker");
    case Victim::kTrainer: {
      const std::vector<pid_t> trainers = Trainers();
      if (trainers.empty()) return 0;
      return trainers[std::uniform_int_distribution<size_t>(0, trainers.size() - 1)(random_)];
    }
  }
  return 0;
}

void Chaos::Strike() {
  static constexpr std::pair<Victim, const char*> kVictims[] = {{Victim::kScheduler, "scheduler"},
                                                                {Victim::kWorker, "worker"},
                                                                {Victim::kTrainer, "trainer"}};
  const auto& [victim, name] = kVictims[std::uniform_int_distribution<int>(0, 2)(random_)];
  const bool kill = std::bernoulli_distribution(0.75)(random_);
  const pid_t pid = Find(victim);
  if (pid == 0 || ::kill(pid, kill ? SIGKILL : SIGSTOP) != 0) return;
  ++acts_[absl::StrCat(name, kill ? " killed" : " stopped and continued")];
  if (kill) return;
  SleepUnlessInterrupted(kStopped);
  ::kill(pid, SIGCONT);
}

int Chaos::strikes() const {
  return std::accumulate(acts_.begin(), acts_.end(), 0,
                         [](int sum, const auto& act) { return sum + act.second; });
}

}  // namespace qsweep::qctl
