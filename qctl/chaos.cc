#include "qctl/chaos.h"

#include <signal.h>

#include <filesystem>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/data_dir.h"
#include "common/file.h"

namespace qsweep::qctl {
namespace fs = std::filesystem;
namespace {

constexpr double kKills = 0.75;  // of all strikes; the rest are stops
// Of scheduler, worker, trainer, a whole machine, all there is.
const std::initializer_list<double> kWeights = {3, 3, 3, 2, 1};
const char* const kNames[] = {"scheduler", "worker", "trainer", "worker and its trainers",
                              "everything"};

// The process that a lock file names, if it still is the program that it ought to be: never a
// stranger who got its number. (Asking for the lock could keep a daemon from taking it.)
void AddHolder(const std::string& lock_path, const char* program, std::vector<pid_t>* to) {
  const pid_t pid = FileLock::Holder(lock_path);
  std::error_code error;
  const fs::path exe = fs::read_symlink(absl::StrCat("/proc/", pid, "/exe"), error);
  if (pid > 0 && !error && exe.filename() == program) to->push_back(pid);
}

}  // namespace

Chaos::Chaos(ChaosOptions options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      next_(MakePlan()),
      due_(clock.Monotonic() + next_.pause) {}

void Chaos::ContinueAll() {
  for (const auto& [pid, until] : stopped_) ::kill(pid, SIGCONT);
  stopped_.clear();
}

// Each strike has a generator of its own, so that none depends on what the ones before it met.
Chaos::Plan Chaos::MakePlan() const {
  std::seed_seq seed{options_.seed, static_cast<uint32_t>(strikes_)};
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> share(0, 1);
  Plan plan;
  plan.victim = static_cast<Victim>(std::discrete_distribution<int>(kWeights)(random));
  plan.which = share(random);
  plan.kill = share(random) < kKills;
  plan.pause = options_.pause * (0.1 + 1.8 * share(random));
  plan.stop = options_.longest_stop * share(random);
  return plan;
}

std::vector<pid_t> Chaos::Trainers(const std::string& worker_dir) const {
  std::vector<pid_t> pids;
  const std::string attempts = JoinPath(worker_dir, "attempts");
  for (const std::string& name : ListDirectory(attempts).value_or(std::vector<std::string>())) {
    AddHolder(JoinPath(JoinPath(attempts, name), kLockFile), "qtrain", &pids);
  }
  return pids;
}

std::vector<pid_t> Chaos::Machine(const std::string& worker_dir) const {
  std::vector<pid_t> pids = Trainers(worker_dir);
  AddHolder(JoinPath(worker_dir, kDaemonLockFile), "qworker", &pids);
  return pids;
}

std::vector<pid_t> Chaos::Find(const Plan& plan) const {
  std::vector<pid_t> pids;
  const auto one = [&plan](const auto& of) -> const auto& {
    return of[static_cast<size_t>(plan.which * static_cast<double>(of.size()))];
  };
  if (plan.victim == Victim::kScheduler || plan.victim == Victim::kAll) {
    AddHolder(JoinPath(options_.scheduler_dir, kDaemonLockFile), "qscheduler", &pids);
  }
  if (plan.victim == Victim::kWorker) {
    AddHolder(JoinPath(one(options_.worker_dirs), kDaemonLockFile), "qworker", &pids);
  }
  if (plan.victim == Victim::kMachine) pids = Machine(one(options_.worker_dirs));
  if (plan.victim != Victim::kTrainer && plan.victim != Victim::kAll) return pids;
  for (const std::string& dir : options_.worker_dirs) {
    const auto more = plan.victim == Victim::kAll ? Machine(dir) : Trainers(dir);
    pids.insert(pids.end(), more.begin(), more.end());
  }
  if (plan.victim == Victim::kTrainer && !pids.empty()) return {one(pids)};
  return pids;
}

void Chaos::Tick() {
  const absl::Duration now = clock_.Monotonic();
  for (auto it = stopped_.begin(); it != stopped_.end();) {
    if (it->second > now) {
      ++it;
      continue;
    }
    ::kill(it->first, SIGCONT);
    it = stopped_.erase(it);
  }
  if (strikes_ >= options_.strikes || now < due_) return;
  int hit = 0;
  for (const pid_t pid : Find(next_)) {
    if (::kill(pid, next_.kill ? SIGKILL : SIGSTOP) != 0) continue;
    ++hit;
    if (!next_.kill) stopped_[pid] = now + next_.stop;
  }
  if (hit == 0) return;
  ++acts_[absl::StrCat(kNames[static_cast<int>(next_.victim)],
                       next_.kill ? " killed" : " stopped and continued")];
  ++strikes_;
  next_ = MakePlan();
  due_ = now + next_.pause;
}

}  // namespace qsweep::qctl
