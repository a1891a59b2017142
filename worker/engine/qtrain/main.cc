// qtrain: trains one run and exits. See common/attempt_dir.h and worker/engine/qtrain/commands.h.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"
#include "common/command_line.h"
#include "common/start.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/process.h"

namespace qsweep::engine {
namespace {

// What a command prints is what it is for: lost output is a failure.
absl::Status FlushOutput() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("standard output: ", std::strerror(errno)));
}

int Perform(const Action& action) {
  absl::Status status = CatchExceptions(action);
  if (status.ok()) status = FlushOutput();
  if (status.ok()) return kExitFinished;
  std::fprintf(stderr, "qtrain: %s\n", std::string(status.message()).c_str());
  return kExitFailed;
}

int Main(int argc, char** argv) {
  Program program("qtrain", "Trains, quantizes and evaluates quantized-LoRA Vision Transformers.");
  program.RequireCommand();
  Action probe, action;
  std::function<int()> run;
  AddProbe(program, &probe);
  AddRun(program, &run);
  AddBench(program, &action);
  AddQuantize(program, &action);
  AddDequantize(program, &action);
  AddMerge(program, &action);
  AddEval(program, &action);
  AddSensitivity(program, &action);

  if (const std::optional<int> code = program.Parse(argc, argv)) return *code;
  if (probe != nullptr) return Perform(probe);  // computes nothing
  ConfigureMalloc();
  InstallAllocator();
  return run != nullptr ? run() : Perform(action);
}

}  // namespace
}  // namespace qsweep::engine

int main(int argc, char** argv) {
  qsweep::StartProgram();
  try {
    return qsweep::engine::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "qtrain: %s\n", error.what());
    return qsweep::kExitFailed;
  }
}
