// The engine on a device whose memory the CPU cannot touch (far_device.h), as it would be on CUDA:
// the same numbers as on the CPU, to rounding.
#include "worker/engine/base/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/model/golden_vit.h"
#include "worker/engine/quant/quantized_weight.h"
#include "worker/engine/testing/distance.h"
#include "worker/engine/testing/far_device.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/checkpoint.h"
#include "worker/engine/train/loss.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/step.h"
#include "worker/engine/train/testing.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

constexpr int64_t kFarBytes = int64_t{1} << 30;

class FarMemory final : public DeviceMemory {
 public:
  std::string DeviceName() const override { return "far"; }
  int64_t Total() const override { return kFarBytes; }
  int64_t Free() const override { return kFarBytes - FarLiveBytes(); }
  int64_t Live() const override { return FarLiveBytes(); }
  int64_t LivePeak() const override { return FarPeakBytes(); }
  int64_t Held() const override { return FarLiveBytes(); }
  int64_t HeldPeak() const override { return FarPeakBytes(); }
  void ResetPeaks() override { ResetFarPeak(); }
  void SetLimit(int64_t bytes) override { SetFarLimit(bytes); }
  void ReleaseCached() override {}
};

TEST(FarWeights, AreTheSameToTheBit) {
  at::manual_seed(1);
  struct Case {
    int bits;
    const char* type;
    bool double_quant;
    std::vector<int64_t> shape;
  };
  for (const Case& c : {Case{8, "nf4", false, {7, 33}}, Case{4, "nf4", false, {64, 96}},
                        Case{4, "fp4", true, {7, 33}}, Case{4, "nf4", true, {300, 64}}}) {
    v1::Quantization spec = DefaultSpec().quantization();
    spec.set_bits(c.bits);
    spec.set_quant_type(c.type);
    spec.set_double_quant(c.double_quant);
    const auto here = QuantizedWeight::Quantize(at::randn(c.shape), spec);
    ASSERT_TRUE(here.ok()) << here.status();
    const QuantizedWeight there = here->To(FarDevice());
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const at::Tensor expanded = there.Dequantize(type);
      EXPECT_EQ(expanded.device(), FarDevice());
      EXPECT_TRUE(expanded.cpu().equal(here->Dequantize(type)));
    }
  }
}

// Golden weights on a device: logits, and gradients of the mean loss.
struct Pass {
  at::Tensor logits;
  std::vector<at::Tensor> gradients;
};

Pass RunPass(const v1::ExperimentSpec& spec, at::ScalarType compute, at::Device device,
             Checkpointing checkpointing = Checkpointing::kNone) {
  const TensorFile weights = GoldenPart("base/");
  const auto vit =
      Vit::Create(spec, kShape, {.compute = compute, .classes = 5, .device = device}, &weights);
  EXPECT_TRUE(vit.ok()) << vit.status();
  std::vector<at::Tensor> zeros;
  at::manual_seed(4);
  for (const TrainableParameter& parameter : (*vit)->trainable()) {
    EXPECT_EQ(parameter.value.device(), device);
    if (parameter.name.find("lora_B") != std::string::npos) {
      parameter.value.copy_(at::randn(parameter.value.sizes()) * 0.05);
    }
    zeros.push_back(at::zeros_like(parameter.value));
  }
  (*vit)->Requantize();
  Gradients gradients(zeros);
  Pass pass;
  const auto loss = [&pass](const at::Tensor& logits) {
    pass.logits = logits;
    double value = 0;
    return CrossEntropyGradient(logits, Golden().tensors.at("labels").to(at::kLong), 0, 1, &value);
  };
  const ForwardContext context{.training = true, .step = 3, .checkpointing = checkpointing};
  (*vit)->AddGradients(Golden().tensors.at("images"), context, loss, gradients);
  for (const at::Tensor& sum : gradients.sums()) pass.gradients.push_back(sum.cpu());
  return pass;
}

void ExpectClose(const Pass& a, const Pass& b, double tolerance) {
  EXPECT_LT(Distance(a.logits, b.logits), tolerance);
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_LT(Distance(a.gradients[i], b.gradients[i]), tolerance) << "parameter " << i;
  }
}

v1::ExperimentSpec Quantized(int bits, const std::string& int8_compute = "dequantize") {
  v1::ExperimentSpec spec = Spec("lora");
  spec.mutable_lora()->set_dropout(0.1);
  spec.mutable_quantization()->set_bits(bits);
  spec.mutable_quantization()->set_double_quant(bits == 4);
  spec.mutable_quantization()->set_int8_compute(int8_compute);
  return spec;
}

// As vit_test.cc, and on either side.
const double kOfPasses = 2 * Fp32Sums(2 * 2 * 700);

TEST(FarVit, HasTheCpusLogitsAndGradients) {
  v1::ExperimentSpec aware = Quantized(4);
  aware.mutable_training()->set_quantization_aware(true);
  for (const v1::ExperimentSpec& spec :
       {Spec("full"), Spec("linear_probe"), Quantized(0), Quantized(4), Quantized(8), aware}) {
    SCOPED_TRACE(spec.DebugString());
    ExpectClose(RunPass(spec, at::kFloat, FarDevice()), RunPass(spec, at::kFloat, at::kCPU),
                kOfPasses);
  }
  // A row's rounding to codes may differ where fp32 does. Of some 60,000 numbers a few may be that
  // near to a tie; a step of 127 in one number of a layer is 3e-4 of what comes out of it.
  ExpectClose(RunPass(Quantized(8, "dynamic"), at::kFloat, FarDevice()),
              RunPass(Quantized(8, "dynamic"), at::kFloat, at::kCPU), 1e-3);
}

TEST(FarVit, RecomputesTheSame) {
  const Pass none = RunPass(Quantized(4), at::kFloat, FarDevice());
  for (const Checkpointing other : {Checkpointing::kSelective, Checkpointing::kFull}) {
    const Pass pass = RunPass(Quantized(4), at::kFloat, FarDevice(), other);
    for (size_t i = 0; i < none.gradients.size(); ++i) {
      EXPECT_TRUE(pass.gradients[i].equal(none.gradients[i])) << "parameter " << i;
    }
  }
}

TEST(FarVit, ComputesInHalfTypes) {
  const Pass exact = RunPass(Quantized(4), at::kFloat, at::kCPU);
  // As vit_test.cc.
  ExpectClose(RunPass(Quantized(4), at::kBFloat16, FarDevice()), exact,
              4 * Roundings(kUnitBf16, 20));
  ExpectClose(RunPass(Quantized(4), at::kHalf, FarDevice()), exact, 4 * Roundings(kUnitFp16, 20));
}

class FarRun : public TrainingTest {
 protected:
  FarRun() { options_.threads = 1; }
  void SetUp() override { UseDevice(FarDevice(), std::make_unique<FarMemory>()); }
  void TearDown() override {
    TrainingTest::TearDown();
    UseDevice(at::kCPU, nullptr);
  }

  v1::RunResult Result(const v1::ExperimentSpec& spec, const std::string& name,
                       const std::string& resume = "") {
    return Finish(spec, name, resume).back().finished().result();
  }
  v1::RunResult ResultOnCpu(const v1::ExperimentSpec& spec) {
    UseDevice(at::kCPU, nullptr);
    const v1::RunResult result = Result(spec, "cpu");
    SetUp();
    return result;
  }
  std::string Adapter(const std::string& name) { return Bytes(name, kAdapterFile); }
};

const v1::ExperimentSpec& Fp32() {
  static const v1::ExperimentSpec spec =
      MiniSpec(R"({"training": {"use_mixed_precision": false, "num_epochs": 1}})");
  return spec;
}

// 5 steps, in a half type.
v1::ExperimentSpec Short(const std::string& type) {
  v1::ExperimentSpec spec = MiniSpec(
      R"({"training": {"num_epochs": 1}, "dataset": {"train_limit": 80, "eval_limit": 50}})");
  spec.mutable_quantization()->set_compute_dtype(type);
  return spec;
}
v1::ExperimentSpec Bf16() { return Short("bfloat16"); }

// 12 steps from the same weights, images and masks: rounding hardly grows, a wrong term would show
// at once.
const double kAfter12Steps = kOfPasses;

TEST_F(FarRun, LearnsWhatTheCpuLearns) {
  const v1::RunResult cpu = ResultOnCpu(Fp32()), far = Result(Fp32(), "far");
  EXPECT_EQ(cpu.provenance().device(), "cpu");
  EXPECT_EQ(far.provenance().device(), "far");
  EXPECT_NEAR(far.final_train_loss(), cpu.final_train_loss(), kAfter12Steps);
  EXPECT_NEAR(far.best().loss(), cpu.best().loss(), kAfter12Steps);
  EXPECT_NEAR(far.merged().loss(), cpu.merged().loss(), kAfter12Steps);
  EXPECT_NEAR(far.gradients().norm_mean(), cpu.gradients().norm_mean(), kAfter12Steps);

  const v1::MemoryAccount &there = far.memory(), &here = cpu.memory();
  EXPECT_EQ(there.weights_bytes(), here.weights_bytes());
  EXPECT_EQ(there.adapter_bytes(), here.adapter_bytes());
  EXPECT_EQ(there.gradient_bytes(), here.gradient_bytes());
  EXPECT_EQ(there.optimizer_bytes(), here.optimizer_bytes());
  // And a device's tables: 24 matrices, 256 pairs of values and 256 scales each.
  EXPECT_EQ(there.scales_bytes(), here.scales_bytes() + 24 * 3 * 256 * 4);
  EXPECT_GT(there.activation_bytes(), 0);
  // A panel of qkv's weights in fp32, and fc1's, which takes its place: of one pass, not of all.
  EXPECT_EQ(there.workspace_bytes(), (3 + 4) * 64 * 64 * 4);
  EXPECT_GE(there.peak_bytes(), there.weights_bytes() + there.scales_bytes() +
                                    there.adapter_bytes() + there.gradient_bytes() +
                                    there.optimizer_bytes() + there.activation_bytes());
}

TEST_F(FarRun, RepeatsAndResumesToTheByte) {
  Result(Bf16(), "whole");
  Result(Bf16(), "again");
  EXPECT_EQ(Adapter("again"), Adapter("whole"));
  ASSERT_EQ(Run(Bf16(), "begun", "", 3).value_or(TrainOutcome::kFinished), TrainOutcome::kStopped);
  Result(Bf16(), "resumed", LastCheckpoint(options_.directory));
  EXPECT_EQ(Adapter("resumed"), Adapter("whole"));
}

TEST_F(FarRun, TakesAsManyImagesAsItsMemoryHolds) {
  const v1::RunResult free = Result(Bf16(), "free");
  EXPECT_EQ(free.memory().micro_batch(), 16);
  EXPECT_GT(free.memory().limit_bytes(), kFarBytes / 2);
  // Of 50 images' evaluation, as much as training's 16 take.
  options_.memory_limit_bytes = free.memory().peak_bytes() / 2;
  const v1::RunResult tight = Result(Bf16(), "tight");
  EXPECT_LT(tight.memory().micro_batch(), 16);
  EXPECT_LE(tight.memory().peak_bytes(), options_.memory_limit_bytes);
  // Each part's products round to bf16, by 0.2 %, so gradients differ by that, and losses by that
  // part of what they have fallen by, some 0.1.
  EXPECT_NEAR(tight.final_train_loss(), free.final_train_loss(), 5e-4);
  options_.memory_limit_bytes = 1 << 17;  // less than the weights
  const absl::Status none = Run(Bf16(), "none").status();
  EXPECT_EQ(BlameOf(none), v1::BLAME_RESOURCES) << none;
}

// A model on the device, and a batch for it.
class FarStep : public FarRun {
 protected:
  void Make(const v1::ExperimentSpec& spec) {
    trainee_ = *MakeTrainee(spec, ChooseComputeType(spec), 10, "");
    plan_ = *MakePlan(spec, trainee_, at::kFloat, 0, 0);
    at::manual_seed(2);
    batch_ = {at::randn({16, 3, 28, 28}), at::arange(16) % 10, {}};
  }
  double Step() {
    const auto loss = ComputeGradients(*trainee_.model, *trainee_.optimizer, batch_, 0, 0, &plan_);
    EXPECT_TRUE(loss.ok()) << loss.status();
    return loss.value_or(NAN);
  }
  at::Tensor HeadGradient() { return trainee_.optimizer->slots().back().gradient.cpu(); }

  Trainee trainee_;
  v1::StepPlan plan_;
  Batch batch_;
};

TEST_F(FarStep, HalvesTheMicroBatchWhenMemoryRunsOut) {
  Make(Fp32());
  const double loss = Step();
  const at::Tensor gradient = HeadGradient();
  const MemoryUse use = CurrentMemory();
  SetMemoryLimit((use.total_bytes + use.total_peak_bytes) / 2);
  // Six blocks' sums may come in another order for another number of rows.
  const double of_logits = Fp32Sums(6 * 700);
  EXPECT_NEAR(Step(), loss, of_logits / 4);  // of 16 images
  EXPECT_LT(plan_.micro_batch(), 16);
  EXPECT_LT(Distance(HeadGradient(), gradient), of_logits);
}

TEST_F(FarStep, Fp16ScalesItsLoss) {
  const v1::ExperimentSpec spec = MiniSpec(R"({"quantization": {"compute_dtype": "float16"}})");
  Make(spec);
  EXPECT_EQ(trainee_.model->compute(), at::kHalf);
  EXPECT_EQ(plan_.loss_scale(), 65536);
  const double loss = Step();
  EXPECT_EQ(plan_.loss_scale(), 65536);
  EXPECT_EQ(plan_.steps_at_loss_scale(), 1);
  const at::Tensor gradient = HeadGradient();
  // Too much for fp16: halved until it is not. A power of 2 rounds nothing.
  plan_.set_loss_scale(std::ldexp(1.0, 22));
  EXPECT_EQ(Step(), loss);
  EXPECT_LT(plan_.loss_scale(), std::ldexp(1.0, 22));
  EXPECT_GT(plan_.loss_scale(), 1);
  EXPECT_TRUE(HeadGradient().equal(gradient));
  // It is tried again with more.
  plan_.set_loss_scale(1024);
  plan_.set_steps_at_loss_scale(1999);
  Step();
  EXPECT_EQ(plan_.loss_scale(), 2048);
  EXPECT_EQ(plan_.steps_at_loss_scale(), 0);
}

TEST_F(FarRun, Fp16LearnsAsWell) {
  const v1::RunResult half = Result(Short("float16"), "half"), other = Result(Bf16(), "bf16");
  EXPECT_EQ(half.quantization().compute_dtype_used(), "float16");
  // bf16's logits are off by 2 %, and means of fifty images by a seventh of that.
  EXPECT_NEAR(half.final_train_loss(), other.final_train_loss(), 0.003);
  EXPECT_NEAR(half.best().loss(), other.best().loss(), 0.003);
}

TEST_F(FarRun, ALossScaleOutlivesThePlan) {
  const v1::ExperimentSpec spec = Short("float16");
  ASSERT_TRUE(Run(spec, "begun", "", 3).ok());
  const std::string begun = LastCheckpoint(options_.directory);
  options_.memory_limit_bytes = kFarBytes / 4;  // less than before, so it is planned anew
  ASSERT_TRUE(Run(spec, "resumed", begun, 0).ok());
  const auto checkpoint = ReadCheckpoint(LastCheckpoint(options_.directory), RunKey(spec));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->state.plan().limit_bytes(), kFarBytes / 4);
  EXPECT_EQ(checkpoint->state.plan().steps_at_loss_scale(), 3);
}

TEST(Device, IsNamedOrRefused) {
  EXPECT_TRUE(UseDevice("cpu").ok());
  EXPECT_EQ(ComputeDeviceName(), "cpu");
  for (const char* name : {"gpu", "cuda:x", "", "meta", "cuda:256"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(UseDevice(name))) << name;
  }
  const absl::Status cuda = UseDevice("cuda:99");  // more than there can be here
  EXPECT_TRUE(absl::IsUnavailable(cuda)) << cuda;
  EXPECT_THAT(std::string(cuda.message()), HasSubstr("cuda:99"));
}

}  // namespace
}  // namespace qsweep::engine
