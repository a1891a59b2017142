// Somebody who kills the processes of an embedded set-up, for tests of it.
#ifndef QSWEEP_QCTL_CHAOS_H_
#define QSWEEP_QCTL_CHAOS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace qsweep::qctl {

// Works on the processes of one data directory and no others. Not thread-safe.
class Chaos {
 public:
  Chaos(std::string data_dir, uint32_t seed);

  // One act, at random: SIGKILL to the scheduler, the worker or a trainer, or SIGSTOP to one of
  // them for a moment. Nothing if there is no such process now.
  void Strike();
  // What was done, as in "scheduler killed", and how often.
  const std::map<std::string, int>& acts() const { return acts_; }
  int strikes() const;

 private:
  enum class Victim { kScheduler, kWorker, kTrainer };
  pid_t Find(Victim victim);
  std::vector<pid_t> Trainers() const;

  const std::string data_dir_;
  std::minstd_rand random_;
  std::map<std::string, int> acts_;
};

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_CHAOS_H_
