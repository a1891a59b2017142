// The commands of qtrain. Each adds itself to `program` and, when it is the one that was named,
// says in its second argument what is to be done.
#ifndef QSWEEP_WORKER_ENGINE_QTRAIN_COMMANDS_H_
#define QSWEEP_WORKER_ENGINE_QTRAIN_COMMANDS_H_

#include <functional>

#include "absl/status/status.h"
#include "common/command_line.h"

namespace qsweep::engine {

// Trains a spec in an attempt's directory, as common/attempt_dir.h says; its exit codes are those.
void AddRun(Command program, std::function<int()>* run);

using Action = std::function<absl::Status()>;
// What this machine has, as JSON of qsweep.v1.WorkerInfo: the fields that qworker cannot know.
void AddProbe(Command program, Action* action);
// Whole optimizer steps on random decoded images, timed, and one thread that makes images of the
// dataset's, as JSON of qsweep.v1.BenchReport.
void AddBench(Command program, Action* action);
// On weight files and models.
void AddQuantize(Command program, Action* action);
void AddDequantize(Command program, Action* action);
void AddMerge(Command program, Action* action);
void AddEval(Command program, Action* action);
void AddSensitivity(Command program, Action* action);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QTRAIN_COMMANDS_H_
