// The worker's state directory: what survives the agent.
//
//   lock        held by the agent: one agent a directory
//   worker-id   made once
//   attempts/run-R-attempt-N/   one attempt each: common/attempt_dir.h, and of the agent's own
//     assign.json   the Assign message, proto JSON
//     running       flock inherited by the trainer: held from before it starts until it is gone
//     stop          why the trainer was told to stop
//     ended.json    the AttemptEnded message, once the trainer is gone
//
// An attempt's directory appears whole by a rename and goes by one, so that a kill at any instant
// leaves whole attempts and junk; Open sweeps the junk.
#ifndef QSWEEP_WORKER_AGENT_STATE_DIRECTORY_H_
#define QSWEEP_WORKER_AGENT_STATE_DIRECTORY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"
#include "common/ids.h"
#include "qsweep/v1/worker.pb.h"

namespace qsweep {

inline constexpr char kAssignFile[] = "assign.json";
inline constexpr char kRunningFile[] = "running";
inline constexpr char kStopFile[] = "stop";
inline constexpr char kEndedFile[] = "ended.json";

// Not thread-safe.
class StateDirectory {
 public:
  // Makes what is missing. Unavailable when another agent holds it.
  static absl::StatusOr<StateDirectory> Open(const std::string& path);

  const std::string& worker_id() const { return worker_id_; }
  const std::string& path() const { return path_; }
  // The attempts there are.
  absl::StatusOr<std::vector<v1::Assign>> Attempts() const;
  std::string AttemptPath(const AttemptId& id) const;

  // A directory that is not an attempt yet, holding assign.json and spec.json; its path. More files
  // may be put into it until Commit makes it one.
  absl::StatusOr<std::string> Prepare(const v1::Assign& assign) const;
  absl::Status Commit(const AttemptId& id) const;
  // Also of an attempt that was only prepared; fine if there is none.
  absl::Status Remove(const AttemptId& id) const;

 private:
  StateDirectory(FileLock lock, std::string path)
      : lock_(std::move(lock)), path_(std::move(path)) {}
  std::string JunkPath(const AttemptId& id) const;

  FileLock lock_;
  std::string path_;
  std::string worker_id_;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_STATE_DIRECTORY_H_
