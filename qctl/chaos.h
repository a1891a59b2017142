// Somebody who kills and stops the processes of a set-up, for tests of it.
#ifndef QSWEEP_QCTL_CHAOS_H_
#define QSWEEP_QCTL_CHAOS_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"

namespace qsweep::qctl {

struct ChaosOptions {
  std::string scheduler_dir;             // its data directory
  std::vector<std::string> worker_dirs;  // their state directories
  uint32_t seed = 1;
  int strikes = 0;       // at most
  absl::Duration pause;  // between two, on average
  absl::Duration longest_stop;
};

// Strikes at random: SIGKILL, or SIGSTOP and later SIGCONT, to the scheduler, a worker, a trainer,
// a worker with its trainers, or all of them. The seed decides what each strike is and how long
// after the last one it comes; where there is no such process then, it waits for one. Works on the
// processes of the named directories and no others; who starts again what was killed is somebody
// else's business. Not thread-safe.
class Chaos {
 public:
  Chaos(ChaosOptions options, const Clock& clock);
  ~Chaos() { ContinueAll(); }
  Chaos(const Chaos&) = delete;
  Chaos& operator=(const Chaos&) = delete;

  // Does what is due by now. To be called every few milliseconds, also after the last strike, for
  // some process may still stand.
  void Tick();
  // Whatever stands still.
  void ContinueAll();

  int strikes() const { return strikes_; }
  // What was done, as in "scheduler killed", and how often.
  const std::map<std::string, int>& acts() const { return acts_; }

 private:
  enum class Victim { kScheduler, kWorker, kTrainer, kMachine, kAll };
  struct Plan {
    Victim victim = Victim::kScheduler;
    double which = 0;  // of several, in [0, 1)
    bool kill = false;
    absl::Duration pause;  // before it
    absl::Duration stop;
  };
  Plan MakePlan() const;  // of the next strike
  std::vector<pid_t> Find(const Plan& plan) const;
  std::vector<pid_t> Trainers(const std::string& worker_dir) const;
  std::vector<pid_t> Machine(const std::string& worker_dir) const;

  const ChaosOptions options_;
  const Clock& clock_;
  int strikes_ = 0;
  Plan next_;
  absl::Duration due_;
  std::map<pid_t, absl::Duration> stopped_;  // until when
  std::map<std::string, int> acts_;
};

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_CHAOS_H_
