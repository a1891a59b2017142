// Trains one run in one attempt directory, from the beginning or from a checkpoint, to its end or
// until it is told to stop. A run that was interrupted at a checkpoint ends with the same bytes and
// metric values as one that was not.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_TRAINER_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_TRAINER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/train/reporter.h"

namespace qsweep::engine {

struct TrainOptions {
  std::string directory;  // of the attempt; its lock is held
  std::string data_root, model_root;
  std::string resume_file;         // a checkpoint; empty: from the beginning
  std::string weights_file;        // in place of model.weights; empty: none
  int threads = 0;                 // 0: all cores
  int64_t memory_limit_bytes = 0;  // of the process, or on the device; 0: what there is
  std::string device = "cpu";      // base/device.h
};

enum class TrainOutcome {
  kFinished,  // `finished` is the last event
  kStopped,   // a checkpoint is the last event, or nothing is if the run was still being prepared
};

// `spec` is complete. `stop` is asked after every step and evaluation batch. The allocator is
// installed. Errors carry their blame (blame.h); none has been reported yet. Exceptions do not
// leave this.
absl::StatusOr<TrainOutcome> Train(const v1::ExperimentSpec& spec, const TrainOptions& options,
                                   const std::function<bool()>& stop, Reporter& reporter);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_TRAINER_H_
