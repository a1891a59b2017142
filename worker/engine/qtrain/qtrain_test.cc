// The real program: killed, stopped, starved of disk, asked what it has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/attempt_dir.h"
#include "common/command_line.h"
#include "common/event_log.h"
#include "common/file.h"
#include "common/proto_json.h"
#include "common/spec/spec.h"
#include "common/subprocess.h"
#include "qsweep/v1/trainer.pb.h"
#include "qsweep/v1/worker.pb.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/train/testing.h"

namespace qsweep::engine {
namespace {

using testing::Contains;
using testing::HasSubstr;

const std::string kProgram = QSWEEP_BIN_DIR "/qtrain";

class QtrainTest : public testing::Test {
 protected:
  QtrainTest() { SetSpec(MiniSpec(R"({"training": {"num_epochs": 4}})")); }

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
  // What `qtrain bench` with this spec reports, called as argv.
  v1::BenchReport Bench(std::vector<std::string> argv) const {
    argv.insert(argv.end(), {"--spec", spec_file_});
    const auto output = RunForOutput(argv, absl::Minutes(2));
    EXPECT_TRUE(output.ok()) << output.status();
    v1::BenchReport report;
    EXPECT_TRUE(FromJson(output.value_or(""), &report).ok()) << output.value_or("");
    return report;
  }
  ExitStatus Run(const std::string& name, const std::string& resume = "") const {
    return Wait(Start(name, Command(name, resume)));
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

  // The adapter of a run with the patch embedding of `weights` saved beside it, as PEFT can; and
  // `weights` as no_embedding, without it.
  std::string WithEmbedding(const std::string& name, const std::string& weights) const {
    TensorFile adapter = *ReadTensorFile(JoinPath(Directory(name), kAdapterFile));
    TensorFile base = *ReadTensorFile(weights);
    for (const char* tensor : {"patch_embed.proj.weight", "patch_embed.proj.bias"}) {
      adapter.tensors[absl::StrCat("base_model.model.", tensor)] = base.tensors.at(tensor).clone();
      base.tensors.at(tensor).zero_();
    }
    const std::string to = directory_.Sub("with_embedding");
    EXPECT_TRUE(WriteTensorFile(JoinPath(to, kAdapterFile), adapter).ok());
    EXPECT_TRUE(WriteTensorFile(Directory("no_embedding"), base).ok());
    const auto config = ReadFile(JoinPath(Directory(name), kAdapterConfigFile), 1 << 20);
    EXPECT_TRUE(WriteFileAtomic(JoinPath(to, kAdapterConfigFile), config.value_or("")).ok());
    return to;
  }

  TemporaryDirectory directory_;
  std::string spec_file_ = JoinPath(directory_.path(), "spec.json");
};

TEST_F(QtrainTest, KilledAndStoppedRunsEndInTheSameBytes) {
  ASSERT_EQ(Run("whole").exit_code, kExitFinished);
  const std::string adapter = Adapter("whole");
  ASSERT_FALSE(adapter.empty());
  const Points whole = ReproduciblePoints(EventsIn(Directory("whole")));

  Points points;
  std::string resume;
  int64_t resumed_at = 0;
  for (int attempt = 0;; ++attempt) {
    const std::string name = absl::StrCat("attempt", attempt);
    const pid_t pid = Start(name, Command(name, resume));
    const bool last = attempt == 4;
    if (!last) {
      AwaitCheckpoints(name, 2);
      ::kill(pid, attempt % 2 == 0 ? SIGKILL : SIGTERM);
    }
    const ExitStatus exit = Wait(pid);
    if (!last && attempt % 2 == 0) {
      EXPECT_EQ(exit.signal, SIGKILL);
    } else {
      EXPECT_EQ(exit.exit_code, last ? kExitFinished : kExitStopped);
    }
    const std::vector<v1::Event> events = EventsIn(Directory(name));
    ASSERT_TRUE(events[0].has_started());
    EXPECT_EQ(events[0].started().resume_step(), resumed_at);
    // As the scheduler keeps them: what an attempt says of steps after the checkpoint that the next
    // one continues from is superseded.
    for (auto it = points.begin(); it != points.end();) {
      it = it->first.second > resumed_at ? points.erase(it) : std::next(it);
    }
    for (const auto& [key, value] : ReproduciblePoints(events)) points[key] = value;
    if (last) break;
    resume = LastCheckpoint(Directory(name));
    for (const v1::Event& event : events) {
      if (event.has_checkpoint()) resumed_at = event.checkpoint().step();
    }
  }
  EXPECT_EQ(Adapter("attempt4"), adapter);
  EXPECT_EQ(points, whole);
}

// Killed in every step: each attempt gets one checkpoint further than the one before.
TEST_F(QtrainTest, KilledInEveryStepItEndsInTheSameBytes) {
  SetSpec(MiniSpec(
      R"({"dataset": {"train_limit": 80}, "training": {"num_epochs": 2, "checkpoint_interval": 1}})"));
  ASSERT_EQ(Run("whole").exit_code, kExitFinished);
  std::string resume;
  int killed = 0;
  for (int attempt = 0; attempt < 30; ++attempt) {
    const std::string name = absl::StrCat("attempt", attempt);
    const pid_t pid = Start(name, Command(name, resume));
    // With everything evaluated the last attempt writes no checkpoint more.
    for (int tries = 0; tries < 60'000 && Checkpoints(name) == 0 && !Finished(name); ++tries) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    if (!Finished(name)) ::kill(pid, SIGKILL);
    if (Wait(pid).signal != SIGKILL) {
      EXPECT_EQ(Adapter(name), Adapter("whole"));
      break;
    }
    ++killed;
    resume = LastCheckpoint(Directory(name));
  }
  EXPECT_GE(killed, 9);  // 2 epochs of 5 steps; the tenth may end before the signal comes
}

TEST_F(QtrainTest, ADirectoryIsTrainedInOnce) {
  const pid_t pid = Start("busy", Command("busy"));
  AwaitCheckpoints("busy", 1);
  EXPECT_EQ(FileLock::Holder(JoinPath(Directory("busy"), kLockFile)), pid);
  ::kill(pid, SIGSTOP);                          // or it might be done before the other has started
  EXPECT_EQ(Run("busy").exit_code, kExitUsage);  // held
  ::kill(pid, SIGINT);
  ::kill(pid, SIGCONT);
  EXPECT_EQ(Wait(pid).exit_code, kExitStopped);
  EXPECT_FALSE(FileLock::IsHeld(JoinPath(Directory("busy"), kLockFile)));
  EXPECT_EQ(Run("busy").exit_code, kExitUsage);  // used
}

TEST_F(QtrainTest, OnlyASecondCtrlCDoesNotWaitForTheCheckpoint) {
  SetSpec(MiniSpec(R"({"training": {"num_epochs": 100}})"));  // not over before the signals come
  for (const auto& [name, signals] : std::map<std::string, std::vector<int>>{
           {"terminated", {SIGTERM, SIGTERM, SIGINT}}, {"interrupted", {SIGINT, SIGTERM}}}) {
    const pid_t pid = Start(name, Command(name));
    AwaitCheckpoints(name, 1);
    for (const int signal : signals) {
      ::kill(pid, signal);
      absl::SleepFor(absl::Milliseconds(1));  // two that wait are one
    }
    EXPECT_EQ(Wait(pid).exit_code, kExitStopped);
    EXPECT_TRUE(EventsIn(Directory(name)).back().has_checkpoint());
  }
}

TEST_F(QtrainTest, AFullDiskIsTheMachinesFault) {
  // No file may grow beyond 32 KiB: a checkpoint is larger, the events are not.
  const ExitStatus exit =
      Wait(Start("full", {"/bin/sh", "-c", "ulimit -f 64; exec \"$0\" \"$@\"", kProgram, "run",
                          "--spec", spec_file_, "--dir", Directory("full"), "--threads", "1"}));
  EXPECT_EQ(exit.exit_code, kExitFailed);
  const v1::Event last = EventsIn(Directory("full")).back();
  ASSERT_TRUE(last.has_failed());
  EXPECT_EQ(last.failed().blame(), v1::BLAME_MACHINE);
  EXPECT_THAT(last.failed().message(), HasSubstr("File too large"));
}

// Nor may a command that writes a file leave a part of it.
TEST_F(QtrainTest, AFileThatMayNotGrowLeavesNothing) {
  const std::string base = QSWEEP_SOURCE_DIR "/tests/golden/peft/base.safetensors";
  const std::string out = JoinPath(directory_.Sub("limited"), "out");
  const ExitStatus exit =
      Wait(Start("limit", {"/bin/sh", "-c", "ulimit -f 1; exec \"$0\" \"$@\"", kProgram, "merge",
                           base, QSWEEP_SOURCE_DIR "/tests/golden/peft", out}));
  EXPECT_EQ(exit.exit_code, kExitFailed);
  EXPECT_THAT(*ListDirectory(JoinPath(directory_.path(), "limited")), testing::IsEmpty());
}

TEST_F(QtrainTest, ClosedDescriptorsAreNotTakenByItsFiles) {
  const ExitStatus exit =
      Wait(Start("closed", {"/bin/sh", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", kProgram, "run",
                            "--spec", spec_file_, "--dir", Directory("closed"), "--threads", "1"}));
  EXPECT_EQ(exit.exit_code, kExitFinished);
  EXPECT_TRUE(Finished("closed"));
  const auto lock = ReadFile(JoinPath(Directory("closed"), kLockFile), 1 << 20);
  EXPECT_THAT(lock.value_or(""), testing::MatchesRegex("[0-9]+\n"));
}

TEST_F(QtrainTest, ADamagedCheckpointIsTheMachinesFault) {
  const std::string damaged = JoinPath(directory_.path(), "damaged");
  ASSERT_TRUE(WriteFileAtomic(damaged, "no checkpoint").ok());
  EXPECT_EQ(Run("damaged_run", damaged).exit_code, kExitFailed);
  const v1::Event last = EventsIn(Directory("damaged_run")).back();
  EXPECT_EQ(last.failed().blame(), v1::BLAME_MACHINE);
  EXPECT_THAT(last.failed().message(), HasSubstr(damaged));
}

TEST_F(QtrainTest, ABadSpecIsTheConfigsFault) {
  ASSERT_TRUE(WriteFileAtomic(spec_file_, R"({"model": {"name": "vit_mini_patch4_28"},
      "dataset": {"name": "fashion_mnist"}, "lora": {"rank": 0}})")
                  .ok());
  EXPECT_EQ(Run("bad").exit_code, kExitFailed);
  const v1::Event last = EventsIn(Directory("bad")).back();
  EXPECT_EQ(last.failed().blame(), v1::BLAME_CONFIG);
  EXPECT_THAT(last.failed().message(), HasSubstr("lora.rank"));
}

TEST_F(QtrainTest, ProbeSaysWhatThereIs) {
  const auto output = RunForOutput({kProgram, "probe"}, absl::Minutes(1));
  ASSERT_TRUE(output.ok()) << output.status();
  v1::WorkerInfo info;
  ASSERT_TRUE(FromJson(*output, &info).ok()) << *output;
  EXPECT_GE(info.cores(), 1);
  EXPECT_THAT(info.datasets(), Contains("fashion_mnist"));
}

// libgomp binds the first thread when it is loaded, before qtrain starts itself anew.
TEST_F(QtrainTest, KnowsAllProcessorsThoughItsThreadIsBound) {
  const auto cores = [](std::vector<std::string> argv) {
    const auto output = RunForOutput(argv, absl::Minutes(1));
    EXPECT_TRUE(output.ok()) << output.status();
    v1::WorkerInfo info;
    EXPECT_TRUE(FromJson(output.value_or(""), &info).ok());
    return info.cores();
  };
  EXPECT_EQ(cores({"/usr/bin/env", "OMP_PROC_BIND=true", kProgram, "probe"}),
            cores({kProgram, "probe"}));
  SetSpec(MiniSpec());
  const v1::BenchReport report =
      Bench({"/usr/bin/env", "OMP_PROC_BIND=true", kProgram, "bench", "--steps", "1"});
  EXPECT_EQ(report.threads(), cores({kProgram, "probe"}));
}

TEST(Qtrain, RefusesADeviceThatIsNotHere) {
  for (const char* device : {"gpu", "cuda:99"}) {
    const auto output = RunForOutput({kProgram, "probe", "--device", device}, absl::Minutes(1));
    EXPECT_FALSE(output.ok()) << device;
  }
}

// The path of a user's weights: quantized with bitsandbytes' keys, merged with an adapter,
// expanded.
TEST_F(QtrainTest, WeightFilesAreQuantizedMergedAndExpanded) {
  const std::string peft = QSWEEP_SOURCE_DIR "/tests/golden/peft";
  const std::string base = JoinPath(peft, "base.safetensors");
  const auto run = [](std::vector<std::string> argv) {
    argv.insert(argv.begin(), kProgram);
    return RunForOutput(argv, absl::Minutes(1));
  };
  const auto quantized = run(
      {"quantize", base, Directory("q"), "--double-quant", "--blocksize", "32", "--skip", "fc1"});
  ASSERT_TRUE(quantized.ok()) << quantized.status();
  EXPECT_THAT(*quantized, HasSubstr("7 of 10 tensors in nf4 with double quantization"));
  ASSERT_TRUE(run({"dequantize", Directory("q"), Directory("d")}).ok());
  ASSERT_TRUE(run({"merge", Directory("q"), peft, Directory("merged_q")}).ok());
  ASSERT_TRUE(run({"merge", Directory("d"), peft, Directory("merged_d")}).ok());
  const std::string merged = ReadFile(Directory("merged_q"), 1 << 20).value_or("");
  EXPECT_FALSE(merged.empty());
  EXPECT_EQ(merged, ReadFile(Directory("merged_d"), 1 << 20).value_or(""));

  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"quantize", base, Directory("x"), "--blocksize", "65"},
        {"quantize", base, Directory("x"), "--bits", "8", "--double-quant"},
        {"quantize", Directory("q"), Directory("x")},
        {"dequantize", base, Directory("x")},
        {"merge", base, Directory("nowhere"), Directory("x")}}) {
    EXPECT_FALSE(run(wrong).ok());
    EXPECT_FALSE(PathExists(Directory("x")));
  }
}

// Beyond float16's range, and beyond float32's.
TEST_F(QtrainTest, WeightsThatAreNotFiniteAreNotWritten) {
  const std::string peft = QSWEEP_SOURCE_DIR "/tests/golden/peft";
  TensorFile large = *ReadTensorFile(JoinPath(peft, "base.safetensors"));
  for (auto& [name, tensor] : large.tensors) tensor = tensor * 1e8;
  ASSERT_TRUE(WriteTensorFile(Directory("large"), large).ok());
  TensorFile adapter = *ReadTensorFile(JoinPath(peft, kAdapterFile));
  for (auto& [name, tensor] : adapter.tensors) tensor = tensor * 1e30;
  const std::string to = directory_.Sub("adapter");
  ASSERT_TRUE(WriteTensorFile(JoinPath(to, kAdapterFile), adapter).ok());
  const auto config = ReadFile(JoinPath(peft, kAdapterConfigFile), 1 << 20);
  ASSERT_TRUE(WriteFileAtomic(JoinPath(to, kAdapterConfigFile), config.value_or("")).ok());

  const auto run = [&](std::vector<std::string> argv) {
    argv.insert(argv.begin(), kProgram);
    return RunForOutput(argv, absl::Minutes(1)).status();
  };
  ASSERT_TRUE(run({"quantize", Directory("large"), Directory("q")}).ok());
  for (const std::vector<std::string>& overflowing :
       {std::vector<std::string>{"dequantize", Directory("q"), Directory("x"), "--dtype",
                                 "float16"},
        {"merge", JoinPath(peft, "base.safetensors"), to, Directory("x")}}) {
    EXPECT_THAT(std::string(run(overflowing).message()), HasSubstr(".weight: not finite"));
    EXPECT_FALSE(PathExists(Directory("x")));
  }
  EXPECT_TRUE(run({"dequantize", Directory("q"), Directory("x"), "--dtype", "bfloat16"}).ok());
}

// A model that was trained, as it is evaluated from its files: whole, adapted, quantized.
TEST_F(QtrainTest, EvalAndSensitivityReadWhatRunsWrote) {
  const std::string full =
      R"({"training": {"method": "full", "learning_rate": 0.001},
          "quantization": {"bits": 0, "double_quant": false}, "dataset": {"train_limit": 500}})";
  SetSpec(MiniSpec(full));
  ASSERT_EQ(Run("base").exit_code, kExitFinished);
  const std::string weights = JoinPath(Directory("base"), kModelFile);
  v1::ExperimentSpec adapted = MiniSpec(R"({"lora": {"rank_pattern": ["blocks.0.attn.qkv=2"]}})");
  adapted.mutable_model()->set_pretrained(true);
  adapted.mutable_model()->set_weights(weights);
  SetSpec(adapted);
  ASSERT_EQ(Run("lora").exit_code, kExitFinished);
  const v1::RunResult result = EventsIn(Directory("lora")).back().finished().result();

  const auto qtrain = [&](const std::string& command, std::vector<std::string> more) {
    std::vector<std::string> argv = {kProgram, command, "--spec", spec_file_, "--threads", "1"};
    argv.insert(argv.end(), more.begin(), more.end());
    return RunForOutput(argv, absl::Minutes(1));
  };
  const auto evaluation = [&](const std::vector<std::string>& more) {
    const auto output = qtrain("eval", more);
    EXPECT_TRUE(output.ok()) << output.status();
    v1::Evaluation evaluation;
    EXPECT_TRUE(FromJson(output.value_or("{}"), &evaluation).ok());
    return evaluation;
  };
  const v1::Evaluation with_adapter = evaluation({"--adapter", Directory("lora"), "--json"});
  EXPECT_EQ(with_adapter.top1(), result.best().top1());
  // The same products, of batches of another size: fp32 logits round to 6e-8 of themselves.
  EXPECT_NEAR(with_adapter.loss(), result.best().loss(), 1e-7);
  EXPECT_EQ(with_adapter.confusion_size(), 100);
  const v1::Evaluation plain = evaluation({"--json"});
  EXPECT_GT(plain.loss(), with_adapter.loss());
  EXPECT_EQ(evaluation({"--adapter", WithEmbedding("lora", weights), "--weights",
                        Directory("no_embedding"), "--json"})
                .loss(),
            with_adapter.loss());

  v1::ExperimentSpec aware = adapted;
  aware.mutable_lora()->set_dropout(0);
  aware.mutable_training()->set_quantization_aware(true);
  SetSpec(aware);
  ASSERT_EQ(Run("aware").exit_code, kExitFinished);
  EXPECT_NEAR(evaluation({"--adapter", Directory("aware"), "--json"}).loss(),
              EventsIn(Directory("aware")).back().finished().result().best().loss(), 1e-6);
  // The weights are what counts, not whether the spec's run began from any.
  SetSpec(MiniSpec());
  EXPECT_EQ(evaluation({"--weights", weights, "--json"}).loss(), plain.loss());
  const auto run_with_weights = [&](const std::string& name) {
    std::vector<std::string> argv = Command(name);
    argv.insert(argv.end(), {"--weights", weights});
    return Wait(Start(name, argv)).exit_code;
  };
  EXPECT_EQ(run_with_weights("contradiction"), kExitFailed);  // the spec says: random
  EXPECT_THAT(EventsIn(Directory("contradiction")).back().failed().message(),
              HasSubstr("model.pretrained: false"));
  v1::ExperimentSpec unnamed = adapted;
  unnamed.mutable_model()->clear_weights();
  SetSpec(unnamed);
  EXPECT_EQ(run_with_weights("unnamed"), kExitFinished);
  v1::ExperimentSpec measuring = adapted;
  measuring.mutable_training()->set_method("sensitivity");
  SetSpec(measuring);
  EXPECT_EQ(Run("resumed", weights).exit_code, kExitFailed);
  EXPECT_THAT(EventsIn(Directory("resumed")).back().failed().message(), HasSubstr("--resume"));
  v1::ExperimentSpec loftq = adapted;
  loftq.mutable_lora()->set_init_lora_weights("loftq");
  SetSpec(loftq);
  EXPECT_TRUE(
      qtrain("eval", {"--set", "quantization.bits=0", "--set", "quantization.double_quant=false"})
          .ok());
  SetSpec(adapted);

  const auto sensitivity = qtrain("sensitivity", {"--set", "dataset.eval_limit=20"});
  ASSERT_TRUE(sensitivity.ok()) << sensitivity.status();
  EXPECT_THAT(*sensitivity, HasSubstr("blocks.5.mlp.fc2"));
  EXPECT_THAT(*sensitivity, HasSubstr("by the labels of the dataset"));

  EXPECT_FALSE(qtrain("eval", {"--set", "dataset.classes=1,2"}).ok());  // the head has ten
  EXPECT_TRUE(qtrain("eval", {"--set", "dataset.classes=1,2", "--head", "pretrained",
                              "--head-labels", "1,2"})
                  .ok());
  for (const char* labels : {"", "1,1", "1,2,3", "1,10"}) {
    EXPECT_FALSE(qtrain("eval", {"--set", "dataset.classes=1,2", "--head", "pretrained",
                                 "--head-labels", labels})
                     .ok())
        << labels;
  }
  EXPECT_FALSE(qtrain("eval", {"--adapter", Directory("lora"), "--head", weights}).ok());
  EXPECT_FALSE(RunForOutput({"/bin/sh", "-c", absl::StrCat(kProgram, " probe > /dev/full")},
                            absl::Minutes(1))
                   .ok());
  EXPECT_FALSE(qtrain("eval", {"--set", "lora.rnak=3"}).ok());
}

TEST_F(QtrainTest, BenchNeedsNeitherDataNorWeights) {
  SetSpec(MiniSpec(R"({"model": {"name": "deit_tiny_patch16_224", "pretrained": true},
                       "dataset": {"name": "cifar10", "batch_size": 2}})"));
  const v1::BenchReport report = Bench({kProgram, "bench", "--steps", "3", "--threads", "1"});
  EXPECT_GT(report.images_per_s(), 0);
  EXPECT_GT(report.forward_images_per_s(), report.images_per_s());
  EXPECT_GT(report.rss_before_mb(), 0);
  EXPECT_GE(report.rss_peak_mb(), report.rss_before_mb());
  EXPECT_EQ(report.micro_batch(), 2);
  EXPECT_EQ(report.threads(), 1);
  EXPECT_EQ(report.quantization(), "nf4+dq");
}

// What tensors hold explains, to 5 %, what the process grew by in training. In fp32, that the
// libraries' code, some 2 MB which only training touches, is little beside it.
TEST_F(QtrainTest, TheMemoryAccountExplainsTheProcess) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer has memory of its own for every byte";
#endif
  SetSpec(MiniSpec(R"({"model": {"name": "deit_tiny_patch16_224"},
                       "dataset": {"name": "cifar10", "batch_size": 16},
                       "training": {"use_mixed_precision": false, "gradient_checkpointing": "none"},
                       "quantization": {"bits": 0, "double_quant": false}})"));
  const v1::BenchReport report = Bench({kProgram, "bench", "--steps", "1", "--threads", "2"});
  const v1::MemoryAccount& memory = report.memory();
  const auto grown = static_cast<double>(memory.rss_peak_bytes() - memory.rss_before_bytes());
  const auto held = static_cast<double>(memory.held_bytes() - memory.held_before_bytes());
  EXPECT_GT(grown, 1e8);
  EXPECT_NEAR(held, grown, 0.05 * grown);
}

}  // namespace
}  // namespace qsweep::engine
