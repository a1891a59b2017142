// A stand-in for qtrain in the agent's tests: keeps the contract of common/attempt_dir.h without
// training anything. What it plays is read from the spec:
//   model.name                    finish, fail, crash, vanish (exits without a word), damage (its
//                                 product is not what it says)
//   training.num_epochs           steps
//   training.log_interval         milliseconds a step takes
//   training.checkpoint_interval  steps between checkpoints
//   dataset.eval_limit            KiB of blanks in each
// A checkpoint's content is its step, and so is what a resume begins from.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/attempt_dir.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/event_log.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/status.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {
namespace {

volatile sig_atomic_t stop_asked = 0;

absl::Status Append(v1::Event event, EventLogWriter* log) {
  event.set_unix_us(SystemClock().UnixMicros());
  return log->Append(event);
}

absl::StatusOr<v1::FileFact> WriteNamed(const std::string& directory, const std::string& name,
                                        const std::string& content) {
  RETURN_IF_ERROR(WriteFileAtomic(JoinPath(directory, name), content));
  v1::FileFact fact;
  fact.set_name(name);
  fact.set_sha256(Sha256Hex(content));
  fact.set_bytes(static_cast<int64_t>(content.size()));
  return fact;
}

absl::Status WriteCheckpoint(const std::string& directory, int64_t step, int64_t padding_kib,
                             EventLogWriter* log) {
  v1::Event event;
  event.mutable_checkpoint()->set_step(step);
  ASSIGN_OR_RETURN(*event.mutable_checkpoint()->mutable_file(),
                   WriteNamed(directory, absl::StrCat("checkpoint-", step, ".safetensors"),
                              absl::StrCat(step, std::string(padding_kib << 10, ' '))));
  return Append(event, log);
}

absl::Status Begin(int64_t resume_step, const v1::ExperimentSpec& spec, EventLogWriter* log) {
  v1::Event event;
  event.mutable_started()->set_resume_step(resume_step);
  event.mutable_started()->set_total_steps(spec.training().num_epochs());
  event.mutable_started()->set_pid(::getpid());
  return Append(event, log);
}

absl::StatusOr<int> End(const std::string& role, const std::string& directory,
                        const std::string& weights, const std::string& device,
                        EventLogWriter* log) {
  v1::Event event;
  if (role == "crash") {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  }
  if (role == "vanish") {
    std::puts("its last words: \xff and nothing more");
    return 3;
  }
  if (role == "fail") {
    event.mutable_failed()->set_blame(v1::BLAME_CONFIG);
    event.mutable_failed()->set_message("the loss is not finite");
    RETURN_IF_ERROR(Append(event, log));
    return kExitFailed;
  }
  event.mutable_finished()->mutable_result()->mutable_provenance()->set_device(device);
  // The product tells which weights it was made from.
  ASSIGN_OR_RETURN(*event.mutable_finished()->mutable_result()->add_files(),
                   WriteNamed(directory, kAdapterFile, absl::StrCat("adapter of ", weights)));
  if (role == "damage") {
    RETURN_IF_ERROR(WriteFileAtomic(JoinPath(directory, kAdapterFile), "something else"));
  }
  RETURN_IF_ERROR(Append(event, log));
  return kExitFinished;
}

absl::StatusOr<int> Run(const std::string& spec_path, const std::string& directory,
                        const std::string& resume_path, const std::string& weights_path,
                        const std::string& device) {
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(JoinPath(directory, kLockFile)));
  ASSIGN_OR_RETURN(const std::string json, ReadFile(spec_path, 1 << 20));
  v1::ExperimentSpec spec;
  RETURN_IF_ERROR(FromJson(json, &spec));
  ASSIGN_OR_RETURN(EventLogWriter log, EventLogWriter::Create(JoinPath(directory, kEventsFile)));
  int64_t step = 0;
  std::string weights = "nothing";
  if (!resume_path.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(resume_path, 1 << 24));
    if (!absl::SimpleAtoi(text, &step)) return absl::DataLossError("no checkpoint");
  }
  if (!weights_path.empty()) {
    ASSIGN_OR_RETURN(weights, ReadFile(weights_path, 1 << 20));
  }
  RETURN_IF_ERROR(Begin(step, spec, &log));
  while (step < spec.training().num_epochs()) {
    absl::SleepFor(absl::Milliseconds(spec.training().log_interval()));
    ++step;
    v1::Event event;
    event.mutable_metrics()->set_step(step);
    v1::Point* const point = event.mutable_metrics()->add_points();
    point->set_name("images_per_s");
    point->set_value(100);
    RETURN_IF_ERROR(Append(event, &log));
    const int64_t interval = spec.training().checkpoint_interval();
    if (stop_asked || (interval > 0 && step % interval == 0)) {
      RETURN_IF_ERROR(WriteCheckpoint(directory, step, spec.dataset().eval_limit(), &log));
    }
    if (stop_asked) return kExitStopped;
  }
  return End(spec.model().name(), directory, weights, device, &log);
}

}  // namespace
}  // namespace qsweep

int main(int argc, char** argv) {
  signal(SIGTERM, [](int) { qsweep::stop_asked = 1; });
  qsweep::Program program("fake_qtrain", "A stand-in for qtrain in the agent's tests.");
  std::string spec, directory, resume, weights, data_root, model_root, device = "cpu";
  int threads = 0;
  int64_t memory_limit = 0;
  bool probed = false;
  qsweep::Command run = program.AddCommand("run", "Pretend to train", [] {});
  run.AddOption("--spec", &spec, "").Required();
  run.AddOption("--dir", &directory, "").Required();
  run.AddOption("--resume", &resume, "");
  run.AddOption("--weights", &weights, "");
  run.AddOption("--threads", &threads, "").Between(1, 4096);
  run.AddOption("--memory-limit", &memory_limit, "").Between(int64_t{1}, int64_t{1} << 50);
  qsweep::Command probe =
      program.AddCommand("probe", "Describe a machine", [&probed] { probed = true; });
  for (qsweep::Command command : {run, probe}) {
    command.AddOption("--data-root", &data_root, "");
    command.AddOption("--model-root", &model_root, "");
    command.AddOption("--device", &device, "");
  }
  program.RequireCommand();
  if (const std::optional<int> usage = program.Parse(argc, argv)) return *usage;
  if (probed) {
    const char* memory = device == "cpu" ? "" : R"("memory_bytes": "1000000",)";
    std::printf(
        R"({%s "device": "%s", "cores": 4, "instruction_sets": ["avx2"], "datasets": ["cifar10"]})",
        memory, device.c_str());
    return 0;
  }
  const absl::StatusOr<int> code = qsweep::Run(spec, directory, resume, weights, device);
  if (code.ok()) return *code;
  std::fprintf(stderr, "fake_qtrain: %s\n", std::string(code.status().message()).c_str());
  return qsweep::kExitUsage;
}
