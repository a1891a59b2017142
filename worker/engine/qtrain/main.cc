// qtrain: trains one run and exits. See common/attempt_dir.h and worker/engine/qtrain/commands.h.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "common/attempt_dir.h"
#include "common/version.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/process.h"

namespace {

using qsweep::engine::BenchOptions;
using qsweep::engine::TrainOptions;

// libgomp reads its environment when it is loaded, so without the variable the program starts anew.
void LimitSpinning(char** argv) {
  if (std::getenv(qsweep::kSpinCountVariable) != nullptr) return;
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;  // the user decided
  ::setenv(qsweep::kSpinCountVariable, qsweep::kSpinCount, 1);
  ::execv("/proc/self/exe", argv);  // if it fails, training is merely slower
}

int Perform(const qsweep::engine::Action& action) {
  const absl::Status status = qsweep::engine::CatchExceptions(action);
  if (status.ok()) return qsweep::kExitFinished;
  std::fprintf(stderr, "qtrain: %s\n", std::string(status.message()).c_str());
  return qsweep::kExitFailed;
}

int Main(int argc, char** argv) {
  CLI::App app("Trains, quantizes and evaluates quantized-LoRA Vision Transformers", "qtrain");
  app.set_version_flag("--version", std::string("qtrain ") + qsweep::kVersion);
  app.require_subcommand(1);
  const auto threads = CLI::Range(0, 4096);
  const auto bytes = CLI::Range(int64_t{0}, int64_t{1} << 50);

  std::string spec;
  TrainOptions train{.data_root = "./data", .model_root = "./models"};
  CLI::App* run = app.add_subcommand("run", "Train the run that a spec file describes");
  run->add_option("--spec", spec, "ExperimentSpec as JSON")->required();
  run->add_option("--dir", train.directory, "attempt directory, new for every attempt")->required();
  run->add_option("--threads", train.threads, "0: all cores")->check(threads);
  run->add_option("--memory-limit", train.memory_limit_bytes, "bytes; 0: none")->check(bytes);
  run->add_option("--data-root", train.data_root, "where datasets lie")->capture_default_str();
  run->add_option("--model-root", train.model_root, "where weights lie")->capture_default_str();
  run->add_option("--resume", train.resume_file, "checkpoint to continue from");
  run->add_option("--weights", train.weights_file, "safetensors file to start from");

  CLI::App* probe = app.add_subcommand("probe", "Print what this machine has, as JSON");
  probe->add_option("--data-root", train.data_root, "where datasets lie")->capture_default_str();
  probe->add_option("--model-root", train.model_root, "where weights lie")->capture_default_str();

  BenchOptions options;
  CLI::App* bench = app.add_subcommand("bench", "Time training steps on random images");
  bench->add_option("--spec", options.spec_file, "ExperimentSpec as JSON")->required();
  bench->add_option("--steps", options.steps, "timed steps")
      ->check(CLI::Range(int64_t{1}, int64_t{1000000}))
      ->capture_default_str();
  bench->add_option("--threads", options.threads, "0: all cores")->check(threads);
  bench->add_option("--memory-limit", options.memory_limit_bytes, "bytes; 0: none")->check(bytes);
  bench->add_option("--weights", options.weights_file, "safetensors file; default: random");

  qsweep::engine::Action action;
  qsweep::engine::AddQuantize(app, &action);
  qsweep::engine::AddDequantize(app, &action);
  qsweep::engine::AddMerge(app, &action);
  qsweep::engine::AddEval(app, &action);
  qsweep::engine::AddSensitivity(app, &action);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : qsweep::kExitUsage;
  }
  if (probe->parsed()) return qsweep::engine::ProbeCommand(train.data_root, train.model_root);
  LimitSpinning(argv);
  qsweep::engine::ConfigureMalloc();
  qsweep::engine::InstallAllocator();
  if (bench->parsed()) return qsweep::engine::BenchCommand(options);
  if (action) return Perform(action);
  return qsweep::engine::RunCommand(spec, train);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "qtrain: %s\n", error.what());
    return qsweep::kExitFailed;
  }
}
