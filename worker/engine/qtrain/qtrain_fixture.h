// For tests: the real program, run with a spec in a directory of the test's own.
#ifndef QSWEEP_WORKER_ENGINE_QTRAIN_QTRAIN_FIXTURE_H_
#define QSWEEP_WORKER_ENGINE_QTRAIN_QTRAIN_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "common/attempt_dir.h"
#include "common/event_log.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "common/subprocess.h"
#include "worker/engine/train/testing.h"

namespace qsweep::engine {

inline const std::string kProgram = QSWEEP_BIN_DIR "/qtrain";

class QtrainTest : public testing::Test {
 protected:
  QtrainTest() {
    SetSpec(MiniSpec(R"({"training": {"num_epochs": 4}, "dataset": {"eval_limit": 20}})"));
  }

  void SetSpec(const v1::ExperimentSpec& spec) {
    EXPECT_TRUE(WriteFileAtomic(spec_file_, CanonicalJson(spec)).ok());
  }
  std::string Directory(const std::string& name) const { return JoinPath(directory_.path(), name); }

  std::vector<std::string> Command(const std::string& name, const std::string& resume = "") const {
    std::vector<std::string> argv = {kProgram, "run",           "--spec",    spec_file_,
                                     "--dir",  Directory(name), "--threads", "1"};
    if (!resume.empty()) argv.insert(argv.end(), {"--resume", resume});
    return argv;
  }
  pid_t Start(const std::string& name, std::vector<std::string> argv) const {
    SubprocessOptions options;
    options.argv = std::move(argv);
    options.stdout_path = options.stderr_path = Output(name);
    const auto pid = StartSubprocess(options);
    EXPECT_TRUE(pid.ok()) << pid.status();
    return *pid;
  }
  std::string Output(const std::string& name) const { return Directory(name + ".txt"); }
  static ExitStatus Wait(pid_t pid) {
    const auto exit = WaitSubprocess(pid, absl::Minutes(2));
    EXPECT_TRUE(exit.ok()) << exit.status();
    return exit.value_or(ExitStatus{.exit_code = -1});
  }
  ExitStatus Run(const std::string& name, const std::string& resume = "") const {
    return Wait(Start(name, Command(name, resume)));
  }
  // What a command prints.
  static absl::StatusOr<std::string> Call(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kProgram);
    return RunForOutput(arguments, absl::Minutes(2));
  }
  // What the attempt has said so far.
  std::vector<v1::Event> EventsSoFar(const std::string& name) const {
    if (!PathExists(JoinPath(Directory(name), kEventsFile))) return {};
    auto chunk = ReadEventLog(JoinPath(Directory(name), kEventsFile), 0, 1 << 24);
    return chunk.ok() ? std::move(chunk->events) : std::vector<v1::Event>();
  }
  int Checkpoints(const std::string& name) const {
    int seen = 0;
    for (const v1::Event& event : EventsSoFar(name)) seen += event.has_checkpoint();
    return seen;
  }
  bool Finished(const std::string& name) const {
    const std::vector<v1::Event> events = EventsSoFar(name);
    return !events.empty() && events.back().has_finished();
  }
  // Waits until the attempt has said `checkpoints` times that it wrote one.
  void AwaitCheckpoints(const std::string& name, int checkpoints) const {
    for (int tries = 0; tries < 60'000; ++tries, absl::SleepFor(absl::Milliseconds(2))) {
      if (Checkpoints(name) >= checkpoints) return;
    }
    FAIL() << "no checkpoint";
  }
  std::string Adapter(const std::string& name) const {
    return ReadFile(JoinPath(Directory(name), kAdapterFile), 1 << 24).value_or("");
  }

  TemporaryDirectory directory_;
  std::string spec_file_ = JoinPath(directory_.path(), "spec.json");
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QTRAIN_QTRAIN_FIXTURE_H_
