// A model that was trained, as it is evaluated from its files: whole, adapted, quantized.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/command_line.h"
#include "common/proto_json.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/qtrain/qtrain_fixture.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

class EvalTest : public QtrainTest {
 protected:
  void SetUp() override {
    if (runs_ == nullptr) MakeRuns();
    SetSpec(Spec());
  }
  static void TearDownTestSuite() { runs_.reset(); }

  // Of a model that was trained in full, and of an adapter for it.
  static std::string Weights() {
    return JoinPath(runs_->path(), absl::StrCat("base/", kModelFile));
  }
  static std::string Adapted() { return JoinPath(runs_->path(), "lora"); }
  // The adapter's.
  static v1::ExperimentSpec Spec(const std::string& method = "lora") {
    v1::ExperimentSpec spec = MiniSpec(R"({"lora": {"rank_pattern": ["blocks.0.attn.qkv=2"]},
                                           "dataset": {"train_limit": 96, "eval_limit": 50}})");
    spec.mutable_model()->set_pretrained(true);
    spec.mutable_model()->set_weights(Weights());
    spec.mutable_training()->set_method(method);
    return spec;
  }

  // `qtrain COMMAND` with this spec.
  absl::StatusOr<std::string> Command(const std::string& command,
                                      const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {command, "--spec", spec_file_, "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Call(arguments);
  }
  v1::Evaluation Evaluate(std::vector<std::string> more) const {
    more.push_back("--json");
    const auto output = Command("eval", more);
    EXPECT_TRUE(output.ok()) << output.status();
    v1::Evaluation evaluation;
    EXPECT_TRUE(FromJson(output.value_or("{}"), &evaluation).ok());
    return evaluation;
  }
  int RunWithWeights(const std::string& name) const {
    std::vector<std::string> argv = QtrainTest::Command(name);
    argv.insert(argv.end(), {"--weights", Weights()});
    return Wait(Start(name, argv)).exit_code;
  }
  std::string FailureOf(const std::string& name) const {
    return EventsIn(Directory(name)).back().failed().message();
  }
  static v1::RunResult ResultIn(const std::string& directory) {
    return EventsIn(directory).back().finished().result();
  }

  // A directory with these tensors in place of the adapter's.
  std::string AdaptedWith(const std::string& name, const TensorFile& tensors) const {
    const std::string to = directory_.Sub(name);
    EXPECT_TRUE(WriteTensorFile(JoinPath(to, kAdapterFile), tensors).ok());
    const auto config = ReadFile(JoinPath(Adapted(), kAdapterConfigFile), 1 << 20);
    EXPECT_TRUE(WriteFileAtomic(JoinPath(to, kAdapterConfigFile), config.value_or("")).ok());
    return to;
  }
  // The adapter with the patch embedding of the weights saved beside it, as PEFT can; and these as
  // no_embedding, without it.
  std::string WithEmbedding() const {
    TensorFile adapter = *ReadTensorFile(JoinPath(Adapted(), kAdapterFile));
    TensorFile base = *ReadTensorFile(Weights());
    for (const char* tensor : {"patch_embed.proj.weight", "patch_embed.proj.bias"}) {
      adapter.tensors[absl::StrCat("base_model.model.", tensor)] = base.tensors.at(tensor).clone();
      base.tensors.at(tensor).zero_();
    }
    EXPECT_TRUE(WriteTensorFile(Directory("no_embedding"), base).ok());
    return AdaptedWith("with_embedding", adapter);
  }

 private:
  void MakeRuns() {
    runs_ = std::make_unique<TemporaryDirectory>();
    SetSpec(MiniSpec(R"({"training": {"method": "full", "learning_rate": 0.001},
                         "quantization": {"bits": 0, "double_quant": false},
                         "dataset": {"train_limit": 320, "eval_limit": 20}})"));
    MakeRun("base");
    SetSpec(Spec());
    MakeRun("lora");
  }
  void MakeRun(const std::string& name) {
    ASSERT_EQ(Run(name).exit_code, kExitFinished);
    std::filesystem::copy(Directory(name), JoinPath(runs_->path(), name));
  }

  static inline std::unique_ptr<TemporaryDirectory> runs_;
};

TEST_F(EvalTest, AnAdapterIsWorthWhatItsRunSaid) {
  const v1::RunResult result = ResultIn(Adapted());
  const v1::Evaluation evaluation = Evaluate({"--adapter", Adapted()});
  EXPECT_EQ(evaluation.top1(), result.best().top1());
  // The same products, of batches of another size: fp32 logits round to 6e-8 of themselves.
  EXPECT_NEAR(evaluation.loss(), result.best().loss(), 1e-7);
  EXPECT_EQ(evaluation.confusion_size(), 100);
  EXPECT_EQ(Evaluate({"--adapter", WithEmbedding(), "--weights", Directory("no_embedding")}).loss(),
            evaluation.loss());
  const v1::Evaluation plain = Evaluate({});
  EXPECT_GT(plain.loss(), evaluation.loss());
  // The weights are what counts, not whether the spec's run began from any.
  SetSpec(MiniSpec(R"({"dataset": {"eval_limit": 50}})"));
  EXPECT_EQ(Evaluate({"--weights", Weights()}).loss(), plain.loss());
}

TEST_F(EvalTest, ATensorOfAnotherShapeIsNamedThoughItHasAsManyNumbers) {
  TensorFile adapter = *ReadTensorFile(JoinPath(Adapted(), kAdapterFile));
  at::Tensor& head = adapter.tensors.at("base_model.model.head.weight");
  head = head.t().contiguous();
  const auto evaluated = Command("eval", {"--adapter", AdaptedWith("transposed", adapter)});
  EXPECT_THAT(std::string(evaluated.status().message()),
              HasSubstr("head.weight: has another shape"));
}

TEST_F(EvalTest, AnAdapterThatWasTrainedForQuantizationToo) {
  v1::ExperimentSpec aware = Spec();
  aware.mutable_lora()->set_dropout(0);
  aware.mutable_training()->set_quantization_aware(true);
  SetSpec(aware);
  ASSERT_EQ(Run("aware").exit_code, kExitFinished);
  EXPECT_NEAR(Evaluate({"--adapter", Directory("aware")}).loss(),
              ResultIn(Directory("aware")).best().loss(), 1e-7);
}

TEST_F(EvalTest, WeightsThatAreGivenAreThoseOfASpecThatWantsSome) {
  SetSpec(MiniSpec());
  EXPECT_EQ(RunWithWeights("contradiction"), kExitFailed);  // the spec says: random
  EXPECT_THAT(FailureOf("contradiction"), HasSubstr("model.pretrained: false"));
  v1::ExperimentSpec unnamed = Spec();
  unnamed.mutable_model()->clear_weights();
  SetSpec(unnamed);
  EXPECT_EQ(RunWithWeights("unnamed"), kExitFinished);
}

TEST_F(EvalTest, SensitivityIsOfEveryLayerAndNotResumed) {
  const auto sensitivity = Command("sensitivity", {"--set", "dataset.eval_limit=20"});
  ASSERT_TRUE(sensitivity.ok()) << sensitivity.status();
  EXPECT_THAT(*sensitivity, HasSubstr("blocks.5.mlp.fc2"));
  EXPECT_THAT(*sensitivity, HasSubstr("by the labels of the dataset"));
  SetSpec(Spec("sensitivity"));
  EXPECT_EQ(Run("resumed", Weights()).exit_code, kExitFailed);
  EXPECT_THAT(FailureOf("resumed"), HasSubstr("--resume"));
}

TEST_F(EvalTest, LoftqMattersToARunAlone) {
  v1::ExperimentSpec loftq = Spec();
  loftq.mutable_lora()->set_init_lora_weights("loftq");
  SetSpec(loftq);
  EXPECT_TRUE(
      Command("eval", {"--set", "quantization.bits=0", "--set", "quantization.double_quant=false"})
          .ok());
}

TEST_F(EvalTest, OtherClassesTakeTheirPartOfTheHead) {
  const auto of_head = [this](const char* labels) {
    return Command("eval", {"--set", "dataset.classes=1,2", "--head", "pretrained", "--head-labels",
                            labels})
        .ok();
  };
  EXPECT_FALSE(Command("eval", {"--set", "dataset.classes=1,2"}).ok());  // the head has ten
  EXPECT_TRUE(of_head("1,2"));
  for (const char* labels : {"", "1,1", "1,2,3", "1,10"}) EXPECT_FALSE(of_head(labels)) << labels;
  EXPECT_FALSE(Command("eval", {"--adapter", Adapted(), "--head", Weights()}).ok());
}

TEST_F(EvalTest, AMisspelledFieldAndLostOutputAreFailures) {
  EXPECT_FALSE(Command("eval", {"--set", "lora.rnak=3"}).ok());
  const std::string lost = absl::StrCat(kProgram, " probe > /dev/full");
  EXPECT_FALSE(RunForOutput({"/bin/sh", "-c", lost}, absl::Minutes(1)).ok());
}

}  // namespace
}  // namespace qsweep::engine
