// The commands of qtrain. Each returns the program's exit code.
#ifndef QSWEEP_WORKER_ENGINE_QTRAIN_COMMANDS_H_
#define QSWEEP_WORKER_ENGINE_QTRAIN_COMMANDS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "common/command_line.h"
#include "worker/engine/train/trainer.h"

namespace qsweep::engine {

// Trains the spec in options.directory, as common/attempt_dir.h says.
int RunCommand(const std::string& spec_file, const TrainOptions& options);

// Prints what this machine has, as JSON of qsweep.v1.WorkerInfo: the fields that qworker cannot
// know.
int ProbeCommand(const std::string& data_root, const std::string& model_root,
                 const std::string& device);

inline constexpr int kMaxThreads = 4096;
inline constexpr int64_t kMaxSpecBytes = 1 << 20;  // of a spec file
inline constexpr char kDataRoot[] = "./data", kModelRoot[] = "./models";

struct BenchOptions {
  std::string spec_file;
  std::string weights_file;  // empty: random initialisation
  std::string data_root;     // empty: the dataset's own images are not timed
  int64_t steps = 10;
  int threads = 0;  // 0: all cores
  int64_t memory_limit_bytes = 0;
  std::string device = "cpu";
};
// Times whole optimizer steps on random decoded images, and one thread that makes images of the
// dataset's, and prints JSON of qsweep.v1.BenchReport.
int BenchCommand(const BenchOptions& options);

// Commands on weight files and models. Each adds itself to `program` and, when it is the one that
// was named, sets `action`: what is to be done once the allocator is installed.
using Action = std::function<absl::Status()>;
void AddQuantize(Command program, Action* action);
void AddDequantize(Command program, Action* action);
void AddMerge(Command program, Action* action);
void AddEval(Command program, Action* action);
void AddSensitivity(Command program, Action* action);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QTRAIN_COMMANDS_H_
