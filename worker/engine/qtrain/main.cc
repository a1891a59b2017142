// qtrain: trains one run and exits. See common/attempt_dir.h and worker/engine/qtrain/commands.h.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>

#include "common/attempt_dir.h"
#include "common/command_line.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/qtrain/spec_options.h"
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

int Perform(const Action& action) {
  const absl::Status status = CatchExceptions(action);
  if (status.ok()) return kExitFinished;
  std::fprintf(stderr, "qtrain: %s\n", std::string(status.message()).c_str());
  return kExitFailed;
}

// What a command prints is what it is for: lost output is a failure.
int Printed(int code) {
  if (code != kExitFinished || (std::fflush(stdout) == 0 && std::ferror(stdout) == 0)) return code;
  std::fprintf(stderr, "qtrain: standard output: %s\n", std::strerror(errno));
  return kExitFailed;
}

template <typename Options>
void AddResources(Command command, Options* options) {
  command.AddOption("--threads", &options->threads, "0: all cores").Between(0, kMaxThreads);
  command
      .AddOption("--memory-limit", &options->memory_limit_bytes,
                 "bytes of the process or, with --device cuda, on the device; 0: none")
      .Between(int64_t{0}, int64_t{1} << 50);
  AddDevice(command, &options->device);
}

void AddRoots(Command command, std::string* data_root, std::string* model_root) {
  command.AddOption("--data-root", data_root, "where datasets lie");
  command.AddOption("--model-root", model_root, "where weights lie");
}

void AddRun(Command program, std::function<int()>* work) {
  struct Options {
    std::string spec;
    TrainOptions train{.data_root = kDataRoot, .model_root = kModelRoot};
  };
  const auto o = std::make_shared<Options>();
  Command command =
      program.AddCommand("run", "Train the run that a spec file describes",
                         [o, work] { *work = [o] { return RunCommand(o->spec, o->train); }; });
  command.AddOption("--spec", &o->spec, "ExperimentSpec as JSON").Required();
  command.AddOption("--dir", &o->train.directory, "attempt directory, new for every attempt")
      .Required();
  AddResources(command, &o->train);
  AddRoots(command, &o->train.data_root, &o->train.model_root);
  command.AddOption("--resume", &o->train.resume_file, "checkpoint to continue from");
  command.AddOption("--weights", &o->train.weights_file, "safetensors file to start from");
}

void AddBench(Command program, std::function<int()>* work) {
  const auto o = std::make_shared<BenchOptions>();
  Command command = program.AddCommand("bench", "Time training steps on random images", [o, work] {
    *work = [o] { return Printed(BenchCommand(*o)); };
  });
  command.AddOption("--spec", &o->spec_file, "ExperimentSpec as JSON").Required();
  command.AddOption("--steps", &o->steps, "timed steps").Between(int64_t{1}, int64_t{1000000});
  AddResources(command, o.get());
  command.AddOption("--weights", &o->weights_file, "safetensors file; default: random");
  command.AddOption("--data-root", &o->data_root, "time the making of the dataset's images, too");
}

int Main(int argc, char** argv) {
  Program program("qtrain", "Trains, quantizes and evaluates quantized-LoRA Vision Transformers.");
  program.RequireCommand();
  std::string data_root = kDataRoot, model_root = kModelRoot, device = "cpu";
  bool probed = false;
  const Command probe = program.AddCommand("probe", "Print what this machine has, as JSON",
                                           [&probed] { probed = true; });
  AddRoots(probe, &data_root, &model_root);
  AddDevice(probe, &device);
  std::function<int()> work;
  AddRun(program, &work);
  AddBench(program, &work);
  Action action;
  AddQuantize(program, &action);
  AddDequantize(program, &action);
  AddMerge(program, &action);
  AddEval(program, &action);
  AddSensitivity(program, &action);

  if (const std::optional<int> code = program.Parse(argc, argv)) return *code;
  if (probed) return Printed(ProbeCommand(data_root, model_root, device));
  LimitSpinning(argv);
  ConfigureMalloc();
  InstallAllocator();
  return work != nullptr ? work() : Printed(Perform(action));
}

}  // namespace
}  // namespace qsweep::engine

int main(int argc, char** argv) {
  try {
    return qsweep::engine::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "qtrain: %s\n", error.what());
    return qsweep::kExitFailed;
  }
}
