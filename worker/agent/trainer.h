// One qtrain process: started here, or found running after its agent died.
#ifndef QSWEEP_WORKER_AGENT_TRAINER_H_
#define QSWEEP_WORKER_AGENT_TRAINER_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/subprocess.h"

namespace qsweep {

struct TrainerOptions {
  std::string qtrain;
  std::string data_root;   // empty: qtrain's default
  std::string model_root;  // likewise
  std::string device;      // likewise
  int threads = 1;
  int64_t memory_limit_bytes = 0;  // of a run that was not given one of its own
};

// Destruction leaves the process running. Not thread-safe.
class Trainer {
 public:
  // In a whole attempt directory in which none was started before.
  static absl::StatusOr<Trainer> Start(const std::string& directory, const TrainerOptions& options);
  // Whatever became of the one that was started in it.
  static Trainer Adopt(const std::string& directory) { return Trainer(directory, 0); }
  // Whether one was ever started in it.
  static bool WasStarted(const std::string& directory);

  // True while it lives. Reaps it, and ends what a wrapper around it may have left running.
  bool Alive();
  // Once it is gone; nullopt when it was another agent's child.
  const std::optional<ExitStatus>& exit() const { return exit_; }
  // 0 while unknown: it was adopted and has not written its lock file yet.
  pid_t pid() const;
  // Whether the signal was sent, to it and to a wrapper around it. The process must have been seen
  // Alive just before.
  bool Signal(int signal) const;

 private:
  Trainer(std::string directory, pid_t child) : directory_(std::move(directory)), child_(child) {}

  std::string directory_;
  pid_t child_;  // 0: adopted; it leads a process group
  bool reaped_ = false;
  std::optional<ExitStatus> exit_;
  bool gone_ = false;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_TRAINER_H_
