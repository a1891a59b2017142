// qtrain: trains one run and exits. See common/attempt_dir.h and worker/engine/qtrain/commands.h.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <system_error>

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

// libgomp reads its environment when it is loaded, so without the variable the program starts anew.
void LimitSpinning(char** argv) {
  if (std::getenv(kSpinCountVariable) != nullptr) return;
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;  // the user decided
  // Bound to one processor by libgomp already, the new program would know no other.
  for (const char* binds : {"OMP_PROC_BIND", "GOMP_CPU_AFFINITY"}) {
    if (std::getenv(binds) != nullptr) return;
  }
  ::setenv(kSpinCountVariable, kSpinCount, 1);
  std::error_code error;  // by its own path, or it would be called "exe"
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  ::execv(program.c_str(), argv);  // if it fails, training is merely slower
}

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
  LimitSpinning(argv);
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
